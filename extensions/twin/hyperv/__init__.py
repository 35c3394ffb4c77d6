# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pair of Hyper-V hosts in pure Python: WinRM with real NTLM, the PowerShell that scripts are written in, the fleet."""

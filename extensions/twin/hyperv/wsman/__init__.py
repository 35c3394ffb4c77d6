# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The WinRM door of a Hyper-V host: HTTP and HTTPS, real NTLM with message encryption, WinRS shells and their limits."""

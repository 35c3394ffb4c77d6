# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Proxmox VE site in pure Python: the datacenter's rules, its HTTPS API, its SSH commands and its guests' screens."""

# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The world every simulated platform stands on: hosts, copies of VMs, guests, data, replication, and the split-brain watch.

It knows no platform, no network and no thread but its own lock. A front end tells it what it sees (``observe``), lets its
clock run (``tick``) and shows its guests to the clients.
"""

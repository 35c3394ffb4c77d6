# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host says, in English or in German; error ids and categories are never translated.

The wording is the twin's own where no source has the real one: clients must not read it.
"""

from __future__ import annotations

import typing as t

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.powershell.errors import SimulatorError

if t.TYPE_CHECKING:
    from ansible_collections.ferragosto.dr.extensions.twin.hyperv.events import Event

CULTURES = ("en-US", "de-DE")

_TEXTS: dict[str, tuple[str, str]] = {
    "no_vm_name": (
        'Hyper-V was unable to find a virtual machine with name "{name}".',
        'Hyper-V konnte keinen virtuellen Computer mit dem Namen "{name}" finden.',
    ),
    "no_vm_id": (
        'Hyper-V was unable to find a virtual machine with Id "{name}".',
        'Hyper-V konnte keinen virtuellen Computer mit der ID "{name}" finden.',
    ),
    "no_rights": (
        "You do not have the required permission to complete this task. Contact the administrator of the authorization "
        "policy for the computer '{host}'.",
        "Sie besitzen nicht die erforderlichen Berechtigungen für diese Aufgabe. Wenden Sie sich an den Administrator "
        'der Autorisierungsrichtlinie für den Computer "{host}".',
    ),
    "not_found_object": (
        "Hyper-V encountered an error trying to access an object on computer '{host}' because the object was not found. "
        "The object might have been deleted. Verify that the Virtual Machine Management service on the computer is "
        "running.",
        'Fehler beim Zugriff auf ein Objekt auf dem Computer "{host}": Das Objekt wurde nicht gefunden. Das Objekt wurde '
        "möglicherweise gelöscht.",
    ),
    "wrong_mode": (
        "The operation cannot be performed on virtual machine '{vm}' in its replication mode '{mode}'.",
        'Der Vorgang kann für den virtuellen Computer "{vm}" im Replikationsmodus "{mode}" nicht ausgeführt werden.',
    ),
    "wrong_state": (
        "Could not change the replication state. Virtual machine '{vm}' is not in a valid replication state to perform "
        "the operation.",
        'Der Replikationsstatus konnte nicht geändert werden. Der virtuelle Computer "{vm}" befindet sich nicht in einem '
        "gültigen Replikationsstatus für den Vorgang.",
    ),
    "wrong_power": (
        "The operation cannot be performed while the virtual machine is in its current state. (Virtual machine '{vm}', "
        "ID {id})",
        'Der Vorgang kann nicht ausgeführt werden, solange sich der virtuelle Computer "{vm}" (ID {id}) im aktuellen '
        "Zustand befindet.",
    ),
    "only_prepare": (
        "Only the parameter Prepare is valid on a primary virtual machine.",
        'Auf einem primären virtuellen Computer ist nur der Parameter "Prepare" zulässig.',
    ),
    "wrong_point": (
        "The checkpoint is not a recovery point of virtual machine '{vm}'.",
        'Der Prüfpunkt ist kein Wiederherstellungspunkt des virtuellen Computers "{vm}".',
    ),
    "nothing_received": (
        "Virtual machine '{vm}' has not received any replicated data yet.",
        'Der virtuelle Computer "{vm}" hat noch keine replizierten Daten empfangen.',
    ),
    "test_runs": (
        "A test failover of virtual machine '{vm}' is already running.",
        'Für den virtuellen Computer "{vm}" wird bereits ein Testfailover ausgeführt.',
    ),
    "no_thumbprint": (
        "The certificate thumbprint is required for certificate-based authentication.",
        "Für die zertifikatbasierte Authentifizierung ist der Zertifikatfingerabdruck erforderlich.",
    ),
    "disks_with_reverse": (
        "Replicated disks cannot be changed while the replication is reversed.",
        "Replizierte Datenträger können beim Umkehren der Replikation nicht geändert werden.",
    ),
    "not_alone": (
        "AsReplica cannot be combined with other replication settings.",
        '"AsReplica" kann nicht mit anderen Replikationseinstellungen kombiniert werden.',
    ),
    "nothing_to_change": (
        "No replication settings are given to change.",
        "Es wurden keine zu ändernden Replikationseinstellungen angegeben.",
    ),
    "only_on_primary": (
        "Replication settings of virtual machine '{vm}' can be changed only on the primary server.",
        'Die Replikationseinstellungen des virtuellen Computers "{vm}" können nur auf dem primären Server geändert werden.',
    ),
    "no_own_entry": (
        "No authorization entry of this replica server matches the allowed primary server.",
        "Kein Autorisierungseintrag dieses Replikatservers stimmt mit dem zulässigen primären Server überein.",
    ),
    "address": (
        "The replica server name '{server}' is not valid. An IP address cannot be used.",
        'Der Replikatservername "{server}" ist ungültig. Eine IP-Adresse kann nicht verwendet werden.',
    ),
    "unreachable": (
        "Hyper-V failed to establish a connection with the Replica server '{server}'. Error: The operation timed out "
        "(0x00002EE2).",
        'Hyper-V konnte keine Verbindung mit dem Replikatserver "{server}" herstellen. Fehler: Zeitüberschreitung '
        "(0x00002EE2).",
    ),
    "unknown_certificate": (
        "The certificate '{thumbprint}' was not found in the store of the local computer, or is not valid.",
        'Das Zertifikat "{thumbprint}" wurde im Speicher des lokalen Computers nicht gefunden oder ist ungültig.',
    ),
    "no_domain": (
        "Hyper-V failed to authenticate the replica server '{server}' using Kerberos authentication. Error: the connect "
        "with the server was terminated abnormally (0x00002EFE).",
        'Hyper-V konnte den Replikatserver "{server}" nicht mit der Kerberos-Authentifizierung authentifizieren. Fehler: '
        "Die Verbindung wurde unerwartet beendet (0x00002EFE).",
    ),
    "not_a_replica_server": (
        "The server '{server}' is not configured as a Replica server.",
        'Der Server "{server}" ist nicht als Replikatserver konfiguriert.',
    ),
    "authentication": (
        "The Replica server '{server}' does not allow this authentication type.",
        'Der Replikatserver "{server}" lässt diesen Authentifizierungstyp nicht zu.',
    ),
    "no_entry": (
        "The Replica server '{server}' is not authorized to receive replication from this server.",
        'Der Replikatserver "{server}" ist nicht berechtigt, Replikation von diesem Server zu empfangen.',
    ),
    "peer_not_ready": (
        "Virtual machine '{vm}' on server '{server}' is not in a valid replication state to perform the operation.",
        'Der virtuelle Computer "{vm}" auf dem Server "{server}" befindet sich nicht in einem gültigen '
        "Replikationsstatus für den Vorgang.",
    ),
    "locked_prepared": (
        "'{vm}' failed to start. Starting the virtual machine is disabled as it is prepared for failover. (Virtual "
        "machine ID {id})",
        'Fehler beim Starten von "{vm}". Das Starten ist deaktiviert, da ein Failover vorbereitet wurde. (ID {id})',
    ),
    "locked_replica": (
        "'{vm}' failed to start. The replica virtual machine can be started only after a failover. (Virtual machine ID "
        "{id})",
        'Fehler beim Starten von "{vm}". Ein virtueller Replikatcomputer kann erst nach einem Failover gestartet werden. '
        "(ID {id})",
    ),
    "not_accessible": (
        "Operation not allowed for virtual machine '{vm}' because the configuration was not accessible. Try again later.",
        'Der Vorgang ist für den virtuellen Computer "{vm}" nicht zulässig, da auf die Konfiguration nicht zugegriffen '
        "werden konnte. Versuchen Sie es später erneut.",
    ),
    "no_memory": (
        "'{vm}' failed to start. Not enough memory in the system to start the virtual machine {vm} with ram size {mb} "
        "megabytes. (Virtual machine ID {id})",
        'Fehler beim Starten von "{vm}". Nicht genügend Arbeitsspeicher, um den virtuellen Computer mit {mb} Megabyte zu '
        "starten. (ID {id})",
    ),
    "no_shutdown": (
        "Failed to shut down virtual machine '{vm}': The device is not ready for use. (0x80070015). (Virtual machine ID "
        "{id})",
        'Fehler beim Herunterfahren von "{vm}": Das Gerät ist nicht einsatzbereit. (0x80070015). (ID {id})',
    ),
    "worker_hung": (
        "'{vm}' failed to stop: The operation timed out. (0x800705B4). (Virtual machine ID {id})",
        'Fehler beim Beenden von "{vm}": Der Vorgang hat das Zeitlimit überschritten. (0x800705B4). (ID {id})',
    ),
    "no_switch": (
        'Hyper-V was unable to find a virtual switch with name "{name}".',
        'Hyper-V konnte keinen virtuellen Switch mit dem Namen "{name}" finden.',
    ),
    "no_adapter": (
        "Hyper-V was unable to find a network adapter with name \"{name}\" on virtual machine '{vm}'.",
        'Hyper-V konnte auf dem virtuellen Computer "{vm}" keinen Netzwerkadapter mit dem Namen "{name}" finden.',
    ),
    "no_snapshot": (
        "Hyper-V was unable to find a checkpoint that matches the given criteria.",
        "Hyper-V konnte keinen Prüfpunkt finden, der den Kriterien entspricht.",
    ),
    "no_file": (
        "Hyper-V encountered an error trying to access an object on computer '{host}': the system cannot find the file "
        "'{name}'. (0x80070002)",
        'Fehler beim Zugriff auf ein Objekt auf dem Computer "{host}": Das System kann die Datei "{name}" nicht finden. '
        "(0x80070002)",
    ),
    "no_events": (
        "No events were found that match the specified selection criteria.",
        "Es wurden keine Ereignisse gefunden, die den angegebenen Auswahlkriterien entsprechen.",
    ),
    "no_log": (
        'There is not an event log on the {host} computer that matches "{name}".',
        'Auf dem Computer "{host}" ist kein Ereignisprotokoll vorhanden, das mit "{name}" übereinstimmt.',
    ),
    "unauthorized": (
        "Attempted to perform an unauthorized operation.",
        "Es wurde versucht, einen nicht autorisierten Vorgang auszuführen.",
    ),
    "no_cim_rights": ("Access denied ", "Zugriff verweigert "),
    "no_firewall_rule": (
        "No MSFT_NetFirewallRule objects found with property '{property}' equal to '{name}'.  Verify the value of the "
        "property and retry.",
        'Es wurden keine MSFT_NetFirewallRule-Objekte gefunden, deren Eigenschaft "{property}" den Wert "{name}" hat.',
    ),
    "connected": (
        "The connection to the specified Replica server '{server}' was successful.",
        'Die Verbindung mit dem angegebenen Replikatserver "{server}" wurde erfolgreich hergestellt.',
    ),
    "health_stopped": (
        "Replication has stopped and needs attention.",
        "Die Replikation wurde angehalten und erfordert einen Eingriff.",
    ),
    "health_waiting": (
        "Replication is not in progress; an operation is pending.",
        "Die Replikation wird nicht ausgeführt; ein Vorgang steht aus.",
    ),
    "health_behind": (
        "The replica is more than one hour behind the primary.",
        "Das Replikat liegt mehr als eine Stunde hinter dem primären Computer.",
    ),
    "health_missed": (
        "More than 20 percent of the replication cycles were missed.",
        "Mehr als 20 Prozent der Replikationszyklen wurden verpasst.",
    ),
    "status_ok": ("Operating normally", "Normaler Betrieb"),
    "status_degraded": ("Degraded", "Beeinträchtigt"),
}

_ID = {"en-US": "(Virtual machine ID {id})", "de-DE": "(ID des virtuellen Computers: {id})"}
_EVENTS: dict[int, tuple[str, str]] = {
    18500: ("'{vm}' started successfully.", '"{vm}" wurde erfolgreich gestartet.'),
    18502: ("'{vm}' was turned off.", '"{vm}" wurde ausgeschaltet.'),
    18504: (
        "'{vm}' was shut down using the Shutdown integration component.",
        '"{vm}" wurde mithilfe der Integrationskomponente zum Herunterfahren heruntergefahren.',
    ),
    18508: (
        "'{vm}' was shut down by the guest operating system.",
        '"{vm}" wurde vom Gastbetriebssystem heruntergefahren.',
    ),
    18510: ("'{vm}' saved successfully.", '"{vm}" wurde erfolgreich gespeichert.'),
    18512: ("'{vm}' was reset.", '"{vm}" wurde zurückgesetzt.'),
    18514: ("'{vm}' was reset by the guest operating system.", '"{vm}" wurde vom Gastbetriebssystem zurückgesetzt.'),
    18515: ("'{vm}' was reset by the guest operating system.", '"{vm}" wurde vom Gastbetriebssystem zurückgesetzt.'),
    18516: ("'{vm}' was paused.", '"{vm}" wurde angehalten.'),
    18518: ("'{vm}' was resumed.", '"{vm}" wurde fortgesetzt.'),
    18590: (
        "'{vm}' has encountered a fatal error.  The guest operating system reported that it failed with the following "
        "error codes: ErrorCode0: {0}, ErrorCode1: {1}, ErrorCode2: {2}, ErrorCode3: {3}, ErrorCode4: {4}.  PreOSId: "
        "{5}.  If the problem persists, contact Product Support for the guest operating system.",
        'Schwerwiegender Fehler bei "{vm}". Das Gastbetriebssystem hat die folgenden Fehlercodes gemeldet: ErrorCode0: '
        "{0}, ErrorCode1: {1}, ErrorCode2: {2}, ErrorCode3: {3}, ErrorCode4: {4}. PreOSId: {5}.",
    ),
    18600: (
        "'{vm}' has encountered a watchdog timeout and was reset.",
        'Bei "{vm}" ist eine Watchdog-Zeitüberschreitung aufgetreten; der Computer wurde zurückgesetzt.',
    ),
    18601: (
        "'{vm}' has successfully booted an operating system.",
        '"{vm}" hat erfolgreich ein Betriebssystem gestartet.',
    ),
    18602: (
        "'{vm}' has encountered a fatal error and a memory dump has been generated.",
        'Schwerwiegender Fehler bei "{vm}"; ein Speicherabbild wurde erstellt.',
    ),
    18603: (
        "'{vm}' failed to boot an operating system.",
        '"{vm}" konnte kein Betriebssystem starten.',
    ),
    18604: (
        "'{vm}' has encountered a fatal error but a memory dump could not be generated.",
        'Schwerwiegender Fehler bei "{vm}"; ein Speicherabbild konnte nicht erstellt werden.',
    ),
}
_TRIPLE = (
    "'{vm}' was reset because an unrecoverable error occurred on a virtual processor that caused a triple fault.",
    '"{vm}" wurde aufgrund eines nicht behebbaren Fehlers eines virtuellen Prozessors (Dreifachfehler) zurückgesetzt.',
)
_EVENTS |= dict.fromkeys((18539, 18540, 18550, 18560), _TRIPLE)
_EVENTS[18605], _EVENTS[18617] = _EVENTS[18603], _EVENTS[18600]


def text(key: str, culture: str, **words: object) -> str:
    """Say something in the language of a session."""
    return _TEXTS[key][_number(culture)].format(**words)


def event_text(event: Event, culture: str) -> str:
    if event.id not in _EVENTS:
        raise SimulatorError(f"the twin has no text for the worker's event {event.id}")
    said = _EVENTS[event.id][_number(culture)].format(*event.data, vm=event.vm_name)
    return f"{said} {_ID[culture].format(id=str(event.vm_id).upper())}"


def known_events() -> set[int]:
    return set(_EVENTS)


def _number(culture: str) -> int:
    if culture not in CULTURES:
        raise SimulatorError(f"the twin speaks {', '.join(CULTURES)}, not {culture}")
    return CULTURES.index(culture)

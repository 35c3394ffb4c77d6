# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sentences of the customer's message, in every language that a client may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OUTCOMES = ("healthy", "restarted", "recovered_home", "recovered_on_replica", "refused", "interrupted", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """One language. Braces name what is filled in."""

    greeting: str
    greeting_plain: str
    moment: str
    subjects: Mapping[str, str]  # by outcome
    stories: Mapping[str, str]  # by outcome
    stopped: str
    stopped_unknown: str
    back: str
    in_time: str
    too_late: str
    no_loss: str
    data: str
    lost: str
    at_home: str
    on_replica: str
    remains: str
    check_data: str
    go_home: str
    job_waits: str
    unprotected: str
    commit: str
    commit_only: str
    find_cause: str
    keep_off: str


MONTHS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ),
    "it": (
        "gennaio",
        "febbraio",
        "marzo",
        "aprile",
        "maggio",
        "giugno",
        "luglio",
        "agosto",
        "settembre",
        "ottobre",
        "novembre",
        "dicembre",
    ),
}

ENGLISH = Phrases(
    greeting="Dear {client},",
    greeting_plain="Dear customer,",
    moment="{day} {month} {year} at {time} ({zone})",
    subjects={
        "healthy": "{vm}: running, nothing had to be done",
        "restarted": "{vm}: running again after a restart",
        "recovered_home": "{vm}: running again from its replica",
        "recovered_on_replica": "{vm}: running again, on the second host",
        "refused": "{vm}: not running, a decision is needed",
        "interrupted": "{vm}: recovery interrupted, to be continued",
        "failed": "{vm}: recovery not successful yet",
    },
    stories={
        "healthy": 'We received an alert for the server "{vm}". It runs and its service answers; we changed nothing.',
        "restarted": "We restarted it, and its service was checked.",
        "recovered_home": "We started its replica, checked its service and brought it back to its usual host.",
        "recovered_on_replica": "We started its replica on the second host and checked its service.",
        "refused": "We did not start its replica, because a condition for doing so safely is not met. A technician decides.",
        "interrupted": "Its recovery was interrupted. Nothing is lost; it continues where it stopped.",
        "failed": "Its recovery did not succeed so far. A technician works on it.",
    },
    stopped='The server "{vm}" stopped working on {at}.',
    stopped_unknown='The server "{vm}" stopped working.',
    back="The service has been answering again since {at}.",
    in_time="This took {took}, within the agreed {agreed}.",
    too_late="This took {took}, longer than the agreed {agreed}.",
    no_loss="No data was lost.",
    data="Its data is that of {at}.",
    lost="What was entered in the {lost} between then and the failure has to be entered again.",
    at_home="It runs on its usual host ({host}).",
    on_replica="It runs on the second host ({host}) for now.",
    remains="What remains to be done:",
    check_data="Please check that programs and data are in order, and tell us.",
    go_home="We will bring it back to its usual host.",
    job_waits="Its nightly replication stays switched off until we have protected it again: until then there is no"
    " current second copy.",
    unprotected="It has to be protected again: until then there is no current second copy.",
    commit="After your word we make the change final; until then it can be taken back.",
    commit_only="After your word we make the change final. What its former disks held was overwritten, as agreed.",
    find_cause="We look for the cause.",
    keep_off="Please do not switch the server on or off yourself in the meantime.",
)

# "in data" and "ore" spare the articles, which change with the number (il 15, l'8; alle 4, all'una).
ITALIAN = Phrases(
    greeting="Spett.le {client},",
    greeting_plain="Gentile cliente,",
    moment="{day} {month} {year}, ore {time} ({zone})",
    subjects={
        "healthy": "{vm}: in funzione, nessun intervento necessario",
        "restarted": "{vm}: di nuovo in funzione dopo un riavvio",
        "recovered_home": "{vm}: di nuovo in funzione dalla sua replica",
        "recovered_on_replica": "{vm}: di nuovo in funzione, sul secondo host",
        "refused": "{vm}: fermo, serve una decisione",
        "interrupted": "{vm}: ripristino interrotto, da riprendere",
        "failed": "{vm}: ripristino non ancora riuscito",
    },
    stories={
        "healthy": "Abbiamo ricevuto un allarme per il server «{vm}». È in funzione e il servizio risponde;"
        " non abbiamo modificato nulla.",
        "restarted": "Lo abbiamo riavviato e ne abbiamo verificato il servizio.",
        "recovered_home": "Abbiamo avviato la sua replica, verificato il servizio e riportato il server"
        " sul suo host abituale.",
        "recovered_on_replica": "Abbiamo avviato la sua replica sul secondo host e verificato il servizio.",
        "refused": "Non abbiamo avviato la sua replica, perché manca una condizione per farlo in sicurezza."
        " Decide un tecnico.",
        "interrupted": "Il ripristino è stato interrotto. Nulla è andato perso; riprende da dove si è fermato.",
        "failed": "Il ripristino finora non è riuscito. Un tecnico ci sta lavorando.",
    },
    stopped="Il server «{vm}» ha smesso di funzionare in data {at}.",
    stopped_unknown="Il server «{vm}» ha smesso di funzionare.",
    back="Il servizio è tornato a rispondere in data {at}.",
    in_time="Sono serviti {took}, entro i {agreed} concordati.",
    too_late="Sono serviti {took}, più dei {agreed} concordati.",
    no_loss="Nessun dato è andato perso.",
    data="I dati sono quelli salvati in data {at}.",
    lost="Quanto inserito nell'intervallo ({lost}) tra quel momento e il guasto va inserito di nuovo.",
    at_home="È in funzione sul suo host abituale ({host}).",
    on_replica="Per ora è in funzione sul secondo host ({host}).",
    remains="Resta da fare:",
    check_data="Vi preghiamo di verificare che programmi e dati siano in ordine e di darcene conferma.",
    go_home="Riporteremo il server sul suo host abituale.",
    job_waits="La replica notturna resta disattivata finché non avremo protetto di nuovo il server:"
    " fino ad allora non esiste una seconda copia aggiornata.",
    unprotected="Il server va protetto di nuovo: fino ad allora non esiste una seconda copia aggiornata.",
    commit="Dopo la vostra conferma renderemo definitivo il cambio; fino ad allora si può tornare indietro.",
    commit_only="Dopo la vostra conferma renderemo definitivo il cambio. I vecchi dischi sono stati sovrascritti, come concordato.",
    find_cause="Cerchiamo la causa.",
    keep_off="Nel frattempo vi preghiamo di non accendere o spegnere il server di persona.",
)

PHRASES: Mapping[str, Phrases] = {"en": ENGLISH, "it": ITALIAN}

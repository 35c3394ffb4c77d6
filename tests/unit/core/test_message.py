# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The customer reads what happened in his language and his time, for every outcome."""

from __future__ import annotations

import string
import typing as t
from dataclasses import fields, replace

import pytest

from ansible_collections.ferragosto.dr.plugins.module_utils.core.message import (
    OUTCOMES,
    Closing,
    customer_message,
    say_moment,
)
from ansible_collections.ferragosto.dr.plugins.module_utils.core.phrases import ENGLISH, ITALIAN, MONTHS, PHRASES
from ansible_collections.ferragosto.dr.plugins.module_utils.core.words import LOCALES, Client, Contract

ALERT_S = 1786760000.0  # 2026-08-15 04:13:20 in Rome
H = 3600.0
LUCA = Client(name="Luca S.p.A.", locale="it", timezone="Europe/Rome")
ABROAD = Client(name="Luca Ltd", locale="en", timezone="Europe/London")
CONTRACT = Contract(rto_s=1800.0, rpo_s=24 * H)
HOME = Closing(
    vm="gestionale",
    outcome="recovered_home",
    marks={"T0": ALERT_S - 240, "T2": ALERT_S, "T9": ALERT_S + 1260, "T12": ALERT_S + 1500},
    point_at_s=ALERT_S - 6 * H,
    production_host="esx1",
    replica_host="esx2",
)


def test_the_story_in_italian() -> None:
    found = customer_message(HOME, LUCA, CONTRACT)
    assert found.subject == "gestionale: di nuovo in funzione dalla sua replica"
    assert found.body == (
        "Spett.le Luca S.p.A.,\n\n"
        "Il server «gestionale» ha smesso di funzionare in data 15 agosto 2026, ore 04:09 (CEST). "
        "Abbiamo avviato la sua replica, verificato il servizio e riportato il server sul suo host abituale. "
        "Il servizio è tornato a rispondere in data 15 agosto 2026, ore 04:34 (CEST). "
        "Sono serviti 21 min, entro i 30 min concordati.\n\n"
        "I dati sono quelli salvati in data 14 agosto 2026, ore 22:13 (CEST). "
        "Quanto inserito nell'intervallo (5 h 56 min) tra quel momento e il guasto va inserito di nuovo. "
        "È in funzione sul suo host abituale (esx1).\n\n"
        "Resta da fare:\n"
        "- Vi preghiamo di verificare che programmi e dati siano in ordine e di darcene conferma.\n"
        "- La replica notturna resta disattivata finché non avremo protetto di nuovo il server: "
        "fino ad allora non esiste una seconda copia aggiornata.\n"
        "- Dopo la vostra conferma renderemo definitivo il cambio; fino ad allora si può tornare indietro."
    )


def test_the_story_in_english_when_it_stays_on_the_replica_and_took_too_long() -> None:
    closing = replace(HOME, outcome="recovered_on_replica", marks={"T0": ALERT_S, "T2": ALERT_S, "T9": ALERT_S + 2400})
    body = customer_message(closing, ABROAD, CONTRACT).body
    for part in (
        'Dear Luca Ltd,\n\nThe server "gestionale" stopped working on 15 August 2026 at 03:13 (BST).',
        "This took 40 min, longer than the agreed 30 min.",
        "Its data is that of 14 August 2026 at 21:13 (BST).",
        "in the 6 h between then and the failure",
        "It runs on the second host (esx2) for now.",
        "- We will bring it back to its usual host.",
        "- Its nightly replication stays switched off until we have protected it again",
    ):
        assert part in body


@pytest.mark.parametrize(
    ("outcome", "has", "has_not"),
    [
        ("healthy", ["we changed nothing", "esx1"], ["stopped working", "remains", "lost"]),
        ("restarted", ["We restarted it", "No data was lost", "since 15 August", "look for the cause"], ["replica"]),
        ("recovered_home", ["brought it back", "Its data is that of", "second copy"], ["esx2", "We will bring"]),
        ("recovered_on_replica", ["esx2", "We will bring it back"], ["esx1"]),
        ("refused", ["A technician decides", "do not switch the server"], ["answering again", "esx", "Its data"]),
        ("interrupted", ["continues where it stopped"], ["answering again", "Its data"]),
        ("failed", ["A technician works on it"], ["answering again", "Its data"]),
    ],
)
def test_every_outcome_has_its_words_and_claims_no_more(outcome: str, has: list[str], has_not: list[str]) -> None:
    found = customer_message(replace(HOME, outcome=outcome), ABROAD, CONTRACT)
    assert found.subject.startswith("gestionale: ")
    assert [part for part in has if part not in found.body] == []
    assert [part for part in has_not if part in found.body] == []


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("outcome", OUTCOMES)
def test_no_language_leaves_a_gap(locale: str, outcome: str) -> None:
    client = replace(LUCA, locale=locale)
    for marks in ({}, {"T2": ALERT_S}, HOME.marks):
        found = customer_message(replace(HOME, outcome=outcome, marks=marks), client, CONTRACT)
        assert "{" not in found.subject + found.body
        assert found.body.count("\n\n") >= 1


def test_both_languages_fill_in_the_same_facts() -> None:
    def holes(value: t.Any) -> t.Any:
        if isinstance(value, str):
            return {part[1] for part in string.Formatter().parse(value) if part[1]}
        return {key: holes(text) for key, text in value.items()}

    for phrase in fields(ENGLISH):
        assert holes(getattr(ITALIAN, phrase.name)) == holes(getattr(ENGLISH, phrase.name)), phrase.name
    assert set(PHRASES) == set(LOCALES) == set(MONTHS)


def test_what_is_protected_and_committed_leaves_only_the_check() -> None:
    closing = replace(HOME, marks={**HOME.marks, "T13": ALERT_S + 9000}, is_committed=True)
    body = customer_message(closing, ABROAD, CONTRACT).body
    assert body.endswith("What remains to be done:\n- Please check that programs and data are in order, and tell us.")


def test_nobody_promises_the_way_back_to_disks_that_were_overwritten() -> None:
    closing = replace(HOME, is_original_kept=False)
    assert "until then it can be taken back" in customer_message(HOME, ABROAD, CONTRACT).body
    body = customer_message(closing, ABROAD, CONTRACT).body
    assert "can be taken back" not in body
    assert "What its former disks held was overwritten, as agreed." in body


def test_braces_and_line_breaks_in_names_stay_what_they_are() -> None:
    closing = replace(HOME, vm="a {{ b }} {at}\nSubject: x", note="{ciao}")
    found = customer_message(closing, replace(LUCA, name="L{}uca"), CONTRACT)
    assert found.subject == "a {{ b }} {at} Subject: x: di nuovo in funzione dalla sua replica"
    assert "Spett.le L{}uca," in found.body
    assert found.body.endswith("\n\n{ciao}")


def test_without_a_client_name_the_greeting_is_general() -> None:
    assert customer_message(HOME, Client(), CONTRACT).body.startswith("Dear customer,")


def test_winter_and_summer_time_are_told_apart() -> None:
    assert say_moment(1768000000.0, LUCA) == "10 gennaio 2026, ore 00:06 (CET)"
    assert say_moment(1768000000.0, replace(ABROAD, timezone="UTC")) == "9 January 2026 at 23:06 (UTC)"

# Copyright (c) 2026, the ferragosto.dr contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``python -m ...kerberos_desk KEYTAB FOLDER WORDS``: a host with that keytab and the provider's client in one process, as JSON.

Both need Kerberos' libraries in their environment from their start on, which the test's own process does not have.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ansible_collections.ferragosto.dr.extensions.twin.hyperv.wsman.negotiate import Ways
from ansible_collections.ferragosto.dr.plugins.module_utils.core.errors import DrError
from ansible_collections.ferragosto.dr.tests.unit.hyperv.host_kit import ECHO, host


def main(keytab: str, folder: str, words: str) -> None:
    given = json.loads(words)
    offers = tuple(given.pop("offers", ("Negotiate", "Kerberos")))
    is_tls = given.get("winrm_scheme", "https") == "https"
    said: dict[str, object] = {}
    with host(Path(folder), is_tls=is_tls, keytab=Path(keytab), ways=Ways(offers=offers)) as one:
        client = one.client(**{"api_password": None, "winrm_transport": "kerberos", **given})
        try:
            said["answer"] = client.run(ECHO, word="però")
        except DrError as error:
            said["error"] = error.as_dict()
        client.close()
        said["calls"] = dict(one.calls)
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How a database speaks TLS with its clients."""

from __future__ import annotations

from typing import Final

#: offered, and nobody has to use it
BASIC: Final = "basic"
#: nobody comes in without it
ENFORCED: Final = "enforced"
#: nobody comes in without it and a certificate that the authority issued
MUTUAL: Final = "mtls"
#: the names are those of the released client
MODES: Final = (BASIC, ENFORCED, MUTUAL)
#: modes that refuse who does not speak it
STRICT: Final = (ENFORCED, MUTUAL)

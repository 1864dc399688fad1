"""What schemathesis may hold against Trailhouse: everything but what no JSON schema can say.

Whether a search (`q`), a cursor or a written record is one, only their readers know: of a request
with one of these, acceptance is not judged. Everything else about it is, and a malformed one must
be refused. A question that is well said and too costly is answered 422, as the document has it.
"""

import schemathesis
from schemathesis.specs.openapi import checks

OPAQUE = {"q", "cursor"}
WRITES = "POST /v1/events"
TOO_COSTLY = 422


@schemathesis.check
def acceptance(ctx, response, case):
    """`positive_data_acceptance`, where it can be judged."""
    is_opaque = OPAQUE & set(case.query or {}) or case.operation.label == WRITES
    if is_opaque or response.status_code == TOO_COSTLY:
        return None
    return checks.positive_data_acceptance(ctx, response, case)

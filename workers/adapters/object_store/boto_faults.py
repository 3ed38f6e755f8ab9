"""What botocore raises, in the system's own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as raised
from botocore.parsers import ResponseParserError

from workers.adapters.object_store.faults import Place, Verdict, judge_answer, scrub, to_error
from workers.errors import CatalogError

BOTOCORE_VERDICTS: dict[type[Exception], Verdict] = {
    raised.NoCredentialsError: Verdict.CREDENTIALS,
    raised.PartialCredentialsError: Verdict.CREDENTIALS,
    raised.CredentialRetrievalError: Verdict.CREDENTIALS,
    raised.TokenRetrievalError: Verdict.CREDENTIALS,
    raised.SSOError: Verdict.CREDENTIALS,
    raised.MetadataRetrievalError: Verdict.CREDENTIALS,
    raised.ProfileNotFound: Verdict.CREDENTIALS,
    raised.ConfigNotFound: Verdict.CREDENTIALS,
    raised.ConfigParseError: Verdict.CREDENTIALS,
    raised.HTTPClientError: Verdict.BUSY,
    raised.ConnectionError: Verdict.BUSY,
    raised.IncompleteReadError: Verdict.BUSY,
    ResponseParserError: Verdict.BUSY,
    raised.BotoCoreError: Verdict.REFUSED,
}
"""Found along the class's ancestors; what is not named (a malformed name, an unknown region) can never work."""


def from_botocore(error: Exception, place: Place, *, key: str | None) -> CatalogError:
    """What botocore raised, about `key` or about the source."""
    if isinstance(error, raised.ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return to_error(judge_answer(code, status), place, key=key, said=code or f"HTTP {status}")
    if isinstance(error, raised.SSLError) and "CERTIFICATE" in str(error):
        return to_error(Verdict.CERTIFICATE, place, key=key, said="certificate")
    verdict = next(BOTOCORE_VERDICTS[kind] for kind in type(error).__mro__ if kind in BOTOCORE_VERDICTS)
    return to_error(verdict, place, key=key, said=scrub(str(error)))


@contextmanager
def translated_boto(place: Place, *, key: str | None = None) -> Iterator[None]:
    """Turn what botocore raises inside the block into the errors that the port promises."""
    try:
        yield
    except (raised.ClientError, *BOTOCORE_VERDICTS) as error:
        raise from_botocore(error, place, key=key) from error

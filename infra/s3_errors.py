"""What boto3 and an S3 server report, translated into the tree of `infra.errors`, one sentence each.

Foreign text never becomes part of a message: it may repeat what is secret.
"""

from boto3.exceptions import Boto3Error, RetriesExceededError
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from infra.counting import STORE_ERRORS, counts
from infra.errors import Failed, LipsyncError, Transient, Unreachable

FOREIGN = (aws.ClientError, aws.BotoCoreError, Boto3Error, ResponseParserError)
"""All that boto3 raises; its transfers raise `OSError` too, for files of this machine."""

ABSENT = {"NoSuchKey", "404", "NotFound"}  # an answer to HEAD has no body, so no code but the status
BEYOND = {"InvalidRange", "416"}
_BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "OperationAborted", "NoSuchUpload"}

_NO_BUCKET = "it does not exist; create it or correct LIPSYNC_STORE and LIPSYNC_S3_ENDPOINT"
_DENIED = "access was denied; allow these credentials to list it and to get, put and delete its objects"
_EXPIRED = "the credentials have expired; renew them"
_WRONG_KEYS = "the store does not accept the credentials; check the access key and the secret key of this process"
_CLOCK = "the clocks of this machine and of the store differ too much; set the clock of this machine"
_REGION = "it lies in another region; set LIPSYNC_S3_REGION"
_FULL = "there is no room left or a quota is used up; free space or raise it"
_REASONS = {
    "404": _NO_BUCKET,
    "NoSuchBucket": _NO_BUCKET,
    "InvalidBucketName": "this cannot name a bucket; correct LIPSYNC_STORE",
    "403": _DENIED,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "AccountProblem": _DENIED,
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidAccessKeyId": _WRONG_KEYS,
    "SignatureDoesNotMatch": _WRONG_KEYS,
    "InvalidToken": _WRONG_KEYS,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "301": _REGION,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "EntityTooLarge": "the object is larger than the store allows; use shorter chunks",
    "507": _FULL,
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
}

_NO_CREDENTIALS = "there are no usable credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
_NO_ANSWER = "the store does not answer; check the network and LIPSYNC_S3_ENDPOINT"
_NO_TLS = (
    "TLS failed; check that LIPSYNC_S3_ENDPOINT speaks it and set LIPSYNC_S3_CA_BUNDLE to its certificate authority"
)
# The first row that fits counts: an error of TLS is also one of the connection.
_RAISED: tuple[tuple[type[Exception], type[LipsyncError], str], ...] = (
    (aws.NoCredentialsError, Failed, _NO_CREDENTIALS),
    (aws.PartialCredentialsError, Failed, _NO_CREDENTIALS),
    (aws.CredentialRetrievalError, Failed, _NO_CREDENTIALS),
    (aws.TokenRetrievalError, Failed, _NO_CREDENTIALS),
    (aws.SSOError, Failed, _NO_CREDENTIALS),
    (aws.ProfileNotFound, Failed, _NO_CREDENTIALS),
    (aws.SSLError, Failed, _NO_TLS),
    (aws.ConnectionError, Unreachable, _NO_ANSWER),
    (aws.HTTPClientError, Unreachable, _NO_ANSWER),
    (aws.IncompleteReadError, Unreachable, _NO_ANSWER),
    (RetriesExceededError, Unreachable, _NO_ANSWER),
    (ResponseParserError, Failed, "what answers is no S3; correct LIPSYNC_S3_ENDPOINT"),
)


def error_code(error: Exception) -> str:
    """The server's own word, such as `NoSuchKey`, else the HTTP status; empty when no server spoke."""
    if not isinstance(error, aws.ClientError):
        return ""
    return str(error.response.get("Error", {}).get("Code") or _status(error))


def s3_error(doing: str, bucket: str, error: Exception) -> LipsyncError:
    """Translate one of `FOREIGN`.

    Args:
        doing: the act and its object, such as `Writing s3://bucket/key`.
        bucket: its name, since most remedies are about the bucket.
        error: what was raised.
    """
    counts.add(STORE_ERRORS)
    kind, reason = _refused(error) if isinstance(error, aws.ClientError) else _raised(error)
    return kind(f"{doing} failed: bucket {bucket!r}: {reason}.")


def _refused(error: aws.ClientError) -> tuple[type[LipsyncError], str]:
    code = error_code(error)
    status = _status(error)
    if code in _REASONS:
        return Failed, _REASONS[code]
    if code in _BUSY or status == 429 or status >= 500:
        return Transient, f"the store is busy or restarting ({code}); try again"
    return Failed, f"the store refused ({code}); look into its logs"


def _status(error: aws.ClientError) -> int:
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def _raised(error: Exception) -> tuple[type[LipsyncError], str]:
    for raised, kind, reason in _RAISED:
        if isinstance(error, raised):
            return kind, reason
    return Failed, f"the client refused ({type(error).__name__}); check LIPSYNC_STORE and the AWS configuration"

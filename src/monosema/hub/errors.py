"""What goes wrong between this machine and the hub, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from monosema.errors import InputError
from monosema.hub import cache
from monosema.hub.address import Address


class Unreachable(Exception):
    """The hub cannot be reached: there is no network, or somebody wants none used."""


@contextmanager
def asking(address: Address) -> Iterator[None]:
    """Turns what huggingface_hub raises while it asks the hub into `Unreachable` or an InputError that says why."""
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise Unreachable("HF_HUB_OFFLINE is set") from None
    except errors.GatedRepoError:
        raise InputError(
            f"{address.repo} is only for those who have agreed to its terms",
            expected="your agreement, on its page",
            hint="then `hf auth login`, or HF_TOKEN",
        ) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"no repository {address.repo} on the hub, or it is private",
            hint="check the name; for a private one, `hf auth login`, or HF_TOKEN",
        ) from None
    except errors.RevisionNotFoundError:
        given = f"{address.repo} has no revision {address.revision!r}"
        raise InputError(given, expected="a branch, tag or commit") from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", 0)
        if status >= 500 or status == 429:
            raise Unreachable(f"it answers {status}") from error
        raise InputError(f"the hub refuses {address}: {_first_line(error)}") from error
    except Exception as error:
        if not is_network(error):
            raise
        raise Unreachable(_first_line(error)) from error


def is_network(error: BaseException) -> bool:
    """Whether an error came from the network: the libraries that carry requests each have errors of their own."""
    makers = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in makers


def offline(address: Address, reason: object) -> InputError:
    """The refusal of an address that would have to be downloaded first."""
    return InputError(
        f"{address} is not on this machine, and the Hugging Face hub cannot be reached ({reason})",
        expected=f"its files in {cache.expected_place(address)}",
        hint="download it where there is a network, or pass the path of a local folder",
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

"""Single files of the Hugging Face Hub: into its cache, checked, with errors that say what to do."""

import hashlib
import re
from pathlib import Path
from typing import Any

from segformer_tf.storage.read import reason


def download(repo: str, filename: str, where: dict[str, Any], how: dict[str, Any], choices: str) -> Path | None:
    """A file of a Hub repository, in the cache; None where the repository, or offline the cache, does not have it.

    Where the Hub does not answer, or answers with an error of its own, the file that the cache has is taken.
    `where` are `revision` and `cache_dir`, `how` are `token`, `local_files_only` and `force_download`; `choices` says
    in an error what else than a Hub id could have been meant.

    Raises:
        FileNotFoundError: No such repository or revision.
        OSError: The Hub cannot be reached, or does not give the file.
    """
    from huggingface_hub import errors, hf_hub_download, try_to_load_from_cache

    revision = where["revision"]
    page = f"https://huggingface.co/{repo}"
    known = try_to_load_from_cache(repo, filename, **where)
    try:
        path = hf_hub_download(repo, filename, **where, **how)
    except errors.GatedRepoError as error:
        raise OSError(
            f"The Hub does not give {repo} to everyone (gated); accept its terms on {page} and pass token=, or run "
            "`hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"The Hub has no {repo}, or it is private (then pass token=); there is no directory {repo} either, "
            f"{choices}."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{repo} has no revision {revision!r}; see the branches and tags on {page}.") from error
    except errors.LocalEntryNotFoundError as error:
        if how["local_files_only"] or isinstance(error.__cause__, errors.OfflineModeIsEnabled) or _absent(known):
            return None
        advice = "check the network, or download the repository elsewhere and give the path of its directory"
        raise OSError(
            _explained(f"The Hub cannot be reached for {filename} of {repo}", error.__cause__, advice)
        ) from error
    except errors.EntryNotFoundError:
        return None
    except Exception as error:  # whatever the HTTP library in use raises, where it does not look into the cache
        cause = error.__cause__ or error
        answered = how["force_download"] or _status(cause)
        cached = None if answered else try_to_load_from_cache(repo, filename, **where)  # of the newest commit known
        if _absent(cached):
            return None
        if cached is None:
            raise OSError(_explained(f"Downloading {filename} of {repo} failed", cause, "try again")) from error
        path = cached
    if path != known or how["force_download"]:
        _verify(Path(path), repo)
    return Path(path)


def _status(error: BaseException | None) -> int | None:
    """The HTTP status that the Hub answered with, if it did."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _absent(cached: Any) -> bool:
    """Whether the cache knows that the repository lacks a file, of what `try_to_load_from_cache` gave."""
    return cached is not None and not isinstance(cached, str)


def _explained(what: str, error: BaseException | None, advice: str) -> str:
    status = _status(error)
    if status in (401, 403):
        advice = "check the token (pass token=, or run `hf auth login`) and that it may read this repository"
    elif status == 429:
        advice = "too many requests: wait some minutes; with a token (`hf auth login`) more are allowed"
    elif status:
        advice = advice.replace("check the network", "try again later")
    what = what.replace("cannot be reached", f"answered with status {status}") if status else what
    return f"{what} ({reason(error)}); {advice}."


def _verify(path: Path, repo: str) -> None:
    """Large files lie in the cache under their SHA-256: a new one whose bytes have another is thrown away."""
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name) and (digest := sha256(blob)) != blob.name:
        path.unlink()
        blob.unlink(missing_ok=True)
        raise OSError(
            f"{path.name} of {repo} arrived damaged (SHA-256 {digest}, expected {blob.name}) and was "
            "deleted; download it again."
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

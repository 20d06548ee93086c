"""Misspelt keyword arguments: a TypeError that names the nearest right one."""

import difflib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def check_keywords(name: str, given: Iterable[str], known: Iterable[str]) -> None:
    """TypeError where one of the keywords `given` to the function `name` is not among those it knows."""
    known = sorted(set(known))
    for keyword in given:
        if keyword not in known:
            nearest = difflib.get_close_matches(keyword, known, n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"it takes {', '.join(known)}."
            raise TypeError(f"{name} got an unknown keyword {keyword!r}: {hint}")


# What programs written for transformers give `from_pretrained`, and what changes nothing here.
WITHOUT_EFFECT = ("proxies", "resume_download", "mirror", "use_auth_token", "trust_remote_code", "low_cpu_mem_usage")
WITHOUT_EFFECT += ("torch_dtype", "attn_implementation", "torchscript", "use_fast")


def drop_without_effect(given: dict[str, Any], but: Iterable[str] = ()) -> None:
    """Takes transformers' arguments that change nothing out of those of `from_pretrained`, with a warning of them.

    Those that are None or false ask for nothing, and there is none of them. `but` are keys of another meaning.
    """
    dropped = [key for key in WITHOUT_EFFECT if key not in but and given.pop(key, None)]
    if not given.get("return_unused_kwargs"):
        given.pop("return_unused_kwargs", None)
    if dropped:
        dtype = "; a Keras dtype policy is given by dtype" if "torch_dtype" in dropped else ""
        warnings.warn(
            f"from_pretrained takes {', '.join(dropped)} from programs written for transformers and does nothing with "
            f"it: leave it out{dtype} (docs/migrating.md).",
            UserWarning,
            stacklevel=4,  # past `also_called`
        )


def keywords_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The keywords that a function's signature names."""
    return _named(getattr(function, "__func__", function))  # a bound method is another object each time


@functools.lru_cache(maxsize=64)
def _named(function: Callable[..., Any]) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(each.name for each in parameters if each.kind in named and each.name not in ("self", "cls"))


def also_called(**names: str) -> Callable[[Function], Function]:
    """A decorator: keywords may have the names that transformers gives them too, `theirs="ours"`."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def call(*args: Any, **keywords: Any) -> Any:
            for theirs, own in names.items():
                if theirs in keywords and own not in keywords:
                    keywords[own] = keywords.pop(theirs)
            return function(*args, **keywords)

        call.__dict__["also_called"] = names
        return call

    return decorate


def spell_checked(target: Function) -> Function:
    """A decorator: the function, or the class with its constructor, whose unknown keywords `check_keywords` refuses.

    Python's own TypeError names no other keyword before 3.13. For functions without `**`.
    """
    checked: Any = target
    if inspect.isclass(target):
        checked.__init__ = _checked(checked.__init__, target.__name__)
        return checked
    return _checked(checked, checked.__name__)


def _checked(function: Any, name: str) -> Any:
    if any(each.kind is each.VAR_KEYWORD for each in inspect.signature(function).parameters.values()):
        raise TypeError(f"{name} takes any keyword (**), so that none can be misspelt: check them inside.")
    known = frozenset(keywords_of(function))

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        if not known.issuperset(keywords):
            check_keywords(name, keywords, known)
        return function(*args, **keywords)

    return call

"""What a takedown names and did enters; the lines that people read leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset
    from imgbatch.dataset.given import Known
    from imgbatch.dataset.posts_theirs import KnownPosts
    from imgbatch.fetching.takedown import TakenOut

SHOWN = 10


def record_of(posts: KnownPosts) -> dict[str, Any]:
    """Return what `--json` says of posts."""
    return {
        "posts": posts.here,
        "unknown_posts": posts.unknown,
        "sources_by_name": posts.named,
        "ambiguous_media": posts.vague,
        "shared_by": list(posts.shared_by),
        "authors": posts.authors,
        "authors_here": posts.authors_here,
        "posts_of_no_platform": posts.untold,
        "doubtful_posts": posts.doubtful,
    }


def former_lines(dataset: Dataset, known: Known, posts: KnownPosts) -> list[str]:
    """Say what stands behind earlier states, before it goes.

    Args:
        dataset: which it leaves.
        known: the sources that are to be forgotten with it.
        posts: the posts that are.
    """
    from imgbatch.dataset import groups, labels, scrub
    from imgbatch.dataset.forget import files_kept
    from imgbatch.dataset.repair import ASIDE
    from imgbatch.dataset.tombstones import names_below

    kept = files_kept(dataset, known, posts)
    outdated = labels.outdated(dataset)
    files = sum(1 for _ in scrub.strays(dataset, kept))
    files += sum(len(dataset.table(groups.path_of(name)).parts()) for name in outdated)
    files += len(names_below(dataset.store, ASIDE))
    beside = ", of labels that stay" if labels.files(dataset) - kept else ""
    whose = f"former recipes and generations, of labels of rows that are no more{beside}"
    lines = [f"{files:,} files: of {whose}, and what a repair put aside"]
    if outdated:
        lines.append(f"labels of rows that are no more: {', '.join(outdated)}")
    return lines


def post_lines(posts: KnownPosts) -> list[str]:
    """Say what becomes of posts and what they have."""
    lines = []
    if posts.named:
        lines.append(
            f"{posts.named:,} of the sources are theirs by their names alone: these hold an id of "
            "theirs, and no other post has them"
        )
    if posts.files_gone:
        lines.append(f"{posts.files_gone:,} of the sources are metadata files of theirs alone")
    if posts.vague:
        lines.append(
            f"{posts.vague:,} media of theirs could be several files, none of which has their id "
            "in its name: see by hand whether one is left, and name it with --source"
        )
    lines += author_lines(posts)
    if posts.unknown:
        lines.append(f"{posts.unknown:,} more posts are not here, and are kept out from now on")
    if posts.shared:
        lines.append(f"{posts.shared:,} sources of theirs stay: other present posts have them")
    if posts.shared_by:
        count = len(posts.shared_by)
        said = (
            f"{count:,} posts that share one of them stay, and no longer name it: what they repeat "
            "of it is theirs; name them too if it is to go:"
        )
        lines += [
            said,
            *(f"  {own}" for own in posts.shared_by[:SHOWN]),
            *([f"  and {count - SHOWN:,} more; --json lists all"] if count > SHOWN else []),
        ]
    return lines


def older_lines(inputs: list[str], then: str) -> list[str]:
    """Say that inputs were read by a version that may call the given posts something else.

    Args:
        inputs: as `posts.read_before` gives them.
        then: what is to be done when they were read again.
    """
    if not inputs:
        return []
    said = (
        f"WARNING: {len(inputs):,} inputs were read last by an older version, which had other ids "
        "for some posts, and knew less of their files; what it calls otherwise is still there:"
    )
    return [
        said,
        *(f"  {name}" for name in inputs[:SHOWN]),
        *([f"  and {len(inputs) - SHOWN:,} more"] if inputs[SHOWN:] else []),
        f"of each that there still is, run it again, and then {then}",
    ]


def key_lines(dataset: Dataset) -> list[str]:
    """Say that names of files do not show whose they are, of a dataset of pseudonyms."""
    from imgbatch.posts.in_names import lacks_key

    if not lacks_key(dataset):
        return []
    said = (
        "WARNING: without the key of these pseudonyms nobody knows which files are called after a "
        "forgotten post: name it in IMGBATCH_PSEUDONYM_KEY_FILE, and `imgbatch verify DATASET "
        "--forgotten` lists what is left"
    )
    return [said]


def author_lines(posts: KnownPosts) -> list[str]:
    """Say which of the given authors have posts, and where nobody knows whether they do."""
    if not posts.authors:
        return []
    none = posts.authors - posts.authors_here
    lines = [f"given authors: {posts.authors_here:,} with posts here, {none:,} with none"]
    if posts.doubtful:
        lines.append(f"WARNING: {doubt(posts)}")
    elif posts.untold and not posts.authors_here:
        lines.append(
            f"WARNING: posts that do not say which platform they are from ({_untold(posts)}) were "
            "not looked at for these authors: where they are meant, give --platform with that word"
        )
    return lines


def doubt(posts: KnownPosts) -> str:
    """Say that posts are there of authors by the same ids, and maybe of another platform."""
    return (
        f"{posts.doubtful:,} posts have an author by a given id, and do not say which platform "
        f"they are from ({_untold(posts)}): name it with --platform and that word where they are "
        "meant; where they are others', with --platform x"
    )


def _untold(posts: KnownPosts) -> str:
    return ", ".join(f"{count:,} of {name!r}" for name, count in posts.untold.items())


def fetched_lines(left: list[TakenOut]) -> list[str]:
    """Say what left the folders of fetches."""
    return [
        f"{one.out}: {one.posts:,} posts, {one.urls:,} URLs and {one.files:,} files left it too"
        + (
            f"; nobody knows which posts {one.nobodys:,} of the URLs were of, and no post has "
            "them now"
            if one.nobodys
            else ""
        )
        for one in left
    ]


def input_lines(files: list[str], left: list[TakenOut]) -> list[str]:
    """Say what nobody deletes but the user."""
    if not files:
        return []
    more = "" if left else "; --fetched OUT takes posts out of what `imgbatch fetch` wrote"
    return [
        f"not touched: the input, where {len(files):,} files may hold them still{more}:",
        *(f"  {address}" for address in files[:SHOWN]),
        *([f"  and {len(files) - SHOWN:,} more; --json lists all"] if files[SHOWN:] else []),
    ]


def unknown_lines(known: Known) -> list[str]:
    """Say which sources are not here."""
    count = len(known.unknown)
    if not count:
        return []
    return [
        f"{count:,} more are not in this dataset, and are kept out of it from now on:",
        *(f"  {one.text}" for one in known.unknown[:SHOWN]),
        *([f"  and {count - SHOWN:,} more"] if count > SHOWN else []),
    ]


def twin_lines(known: Known) -> list[str]:
    """Say which other sources hold the same bytes."""
    if not known.twins:
        return []
    return [
        f"{len(known.twins):,} other sources hold the same bytes and stay, unless --same-bytes:",
        *(f"  {address}" for address in known.twins[:SHOWN]),
    ]

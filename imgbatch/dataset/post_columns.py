"""The columns of the four tables of posts, and what each means: the codebook reads it here."""

from __future__ import annotations

import pyarrow as pa

POSTS, MEDIA, COPIES, GAPS = "posts", "post_media", "post_copies", "post_gaps"
# In the order in which they are committed: a reader who finds a post finds its media too.
TABLES = (GAPS, COPIES, MEDIA, POSTS)
# The kind of gap that tells of a post that another input has too.
OTHER_INPUT = "same-id-in-other-input"
# Of one that its own input lacks by now, and that stays because another has it.
ONLY_OTHER_INPUT = "only-in-other-input"
# Of a metadata file that no format reads and that is damaged; one that says itself that it holds no
# posts; one whose posts are rows that were read of another; one that may hold what was not read.
BROKEN, NONE_HERE = "broken-file", "no-posts"
DUPLICATE, SUSPECT = "duplicate-posts", "suspect-file"
# The status of a medium whose file another copy of the post names; and the kind of gap that tells
# of such a medium that several files may be it.
OTHER_COPY, VAGUE_COPY = "other-copy", "ambiguous-copy"
# Kinds of gaps each of which is of one post, and names it.
OF_ONE_POST = (OTHER_INPUT, ONLY_OTHER_INPUT, VAGUE_COPY)
# An id as `pseudonyms = true` makes it: another one for each platform.
HIDDEN = "^[0-9a-f]{32}$"
TIME = pa.timestamp("us", tz="UTC")
TEXT = pa.string()
SUMMARIES = {
    POSTS: "One row per post of a dump",
    MEDIA: "One row per medium of a post, joined to the source that holds it",
    COPIES: "Where else posts were read: one row per file that has another copy or piece of one",
    GAPS: "What a dump does not tell, and what found no counterpart",
}


def _field(
    name: str, kind: pa.DataType, meaning: str, missing: str = "", mark: str = ""
) -> pa.Field:
    said = {"meaning": meaning, "missing": missing, "mark": mark}
    return pa.field(name, kind, metadata={key: value for key, value in said.items() if value})


_PLATFORM = _field(
    "platform",
    TEXT,
    "where the post is from: x, instagram, telegram, ...; where nothing says it, the format and a "
    "mark of the file or dump that its id counts within: table-3fa8c1d2",
)
_POST_ID = _field("post_id", TEXT, "the platform's id of the post, or its pseudonym")
_INPUT = _field("input", TEXT, "the input that the dump was read from")
_UNTOLD = "when the dump does not say"
_OF_PEOPLE = "personal"
SCHEMAS = {
    POSTS: pa.schema(
        [
            _PLATFORM,
            _POST_ID,
            _field(
                "author_id",
                TEXT,
                "the platform's id of the author, else a handle where its rows have no other; or a "
                "pseudonym",
                "when the dump does not say, or it is a handle that is left out",
                _OF_PEOPLE,
            ),
            _field(
                "author_name", TEXT, "name or handle of the author", "or when left out", _OF_PEOPLE
            ),
            _field("created_at", TIME, "when the post was made, UTC", _UNTOLD),
            _field("time_source", TEXT, "the field and unit that created_at was read from"),
            _field("text", TEXT, "what the post says", "or when left out", _OF_PEOPLE),
            _field("lang", TEXT, "language, as the platform says", _UNTOLD),
            _field("url", TEXT, "address of the post", _UNTOLD),
            _field("reply_to", TEXT, "id of the post that this one answers", "for no answer"),
            _field("repost_of", TEXT, "id of the post that this one shares", "for no share"),
            _field("metrics", TEXT, "counts by the platform's own names, as JSON"),
            _field("n_media", pa.int32(), "rows of this post in post_media, without other-copy"),
            _field("state", TEXT, "present in the last export, or removed from it"),
            _field("raw_ref", TEXT, "metadata file and line that the post was read from"),
            _field("dump", TEXT, "format of the dump"),
            _INPUT,
        ]
    ),
    MEDIA: pa.schema(
        [
            _PLATFORM,
            _POST_ID,
            _field("media_idx", pa.int32(), "place of the medium in the post, from 0"),
            _field("kind", TEXT, "as the dump says: image, video, audio, other"),
            _field("media_key", TEXT, "the platform's id of the medium", _UNTOLD),
            _field("source_url", TEXT, "where the platform had it", _UNTOLD),
            _field("local_path", TEXT, "the file, as the dump names it", _UNTOLD),
            _field("sha256", TEXT, "of its bytes, as the dump says", _UNTOLD),
            _field("alt_text", TEXT, "as author or platform described it", _UNTOLD),
            _field("width", pa.int32(), "pixels, as the dump says", _UNTOLD),
            _field("height", pa.int32(), "pixels, as the dump says", _UNTOLD),
            _field("duration", pa.float64(), "seconds, as the dump says", _UNTOLD),
            _field(
                "status",
                TEXT,
                "matched: a source holds it; missing: the file that the dump names is not there; "
                "linked: there is an address only; ambiguous: several files may be it; other-copy: "
                "a source holds it, and another copy of the post names it, not the newest, or the "
                "post names an equal file of that name before it; else why the dump has no file",
            ),
            _field("joined_by", TEXT, "metadata, stem, basename, id or hash; empty if unmatched"),
            _field("source_id", TEXT, "the source, as in every table", "if unmatched"),
            _field("version", TEXT, "the source's version, as in every table", "if unmatched"),
            _INPUT,
        ]
    ),
    COPIES: pa.schema(
        [
            _PLATFORM,
            _POST_ID,
            _field(
                "author_id",
                TEXT,
                "the author as that copy says, or a pseudonym",
                _UNTOLD,
                _OF_PEOPLE,
            ),
            _field("created_at", TIME, "when the post was made as that copy says, UTC", _UNTOLD),
            _field("raw_ref", TEXT, "metadata file and line that it was read from, the first"),
            _field("dump", TEXT, "format of the dump"),
            _INPUT,
        ]
    ),
    GAPS: pa.schema(
        [
            _field(
                "kind",
                TEXT,
                "unmatched-medium, unmatched-source; duplicate-posts, differing-rows, "
                "same-id-in-other-input, same-id-in-other-table: what ids came more than once; "
                "only-in-other-input: a post that its input lacks and another has; "
                "ambiguous-copy: media of a copy that is not the newest, each of which several "
                "files may be; "
                "withheld-removals: how many posts that an export lacks stay, and suspect-file: "
                "why; or what is missing or broken in a metadata file",
            ),
            _field("ref", TEXT, "metadata file, source, post, or post and place of the medium"),
            _field("line", pa.int64(), "line or item, the first of several", "for no one line"),
            _field("message", TEXT, "what is missing or wrong"),
            _field("count", pa.int64(), "how often"),
            _INPUT,
        ]
    ),
}

"""A format, a folder and a count in; a dump of so many made-up posts out.

Run as a process of its own, as `dumps_made FORMAT FOLDER COUNT`. All posts have ids, authors and
times of their own; in some formats every tenth shows several media and every seventh a video. They
have what a platform adds to each post and nobody reads, so that they are about as large as real
ones: a submission of Reddit 3 KB, a post of X's API 4 KB with its share of a page, an item of
Instagram 7 KB, a message of Telegram 0.5 KB.
"""

from __future__ import annotations

import io
import json
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import zstandard

from scripts.benchmarks.dumps_silent import CONTEXT, PERSON, PROFILE, SIDES, SIGNED, SILENT, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST = 1_300_000_000
SECONDS_APART = 7
PAGE = 100


def main(form: str, folder: Path, count: int) -> None:
    """Write one dump."""
    folder.mkdir(parents=True)
    name, write = FORMS[form]
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw:
        packed = zstandard.ZstdCompressor(level=1).stream_writer(raw) if ".zst" in name else raw
        with io.TextIOWrapper(packed, "utf-8", write_through=False) as out:
            write(out, count)
    sys.stdout.write(json.dumps({"bytes": path.stat().st_size}) + "\n")


def text(number: int) -> str:
    """Return what a post says: 1 to 3 sentences."""
    return f"Post {number}: " + WORDS * (1 + number % 3)


def moment(number: int) -> int:
    """Return when a post was made, in seconds."""
    return FIRST + number * SECONDS_APART


def iso(number: int, form: str = "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}.000Z") -> str:
    """Return a time as text, one second after the other over some years."""
    rest, second = divmod(number, 60)
    rest, minute = divmod(rest, 60)
    rest, hour = divmod(rest, 24)
    rest, day = divmod(rest, 28)
    year, month = divmod(rest, 12)
    return form.format(2010 + year, month + 1, day + 1, hour, minute, second)


def by_line(row: Callable[[int], Any]) -> Callable[[TextIO, int], None]:
    """Return what writes one JSON object a line."""

    def write(out: TextIO, count: int) -> None:
        out.writelines(
            json.dumps(row(number), ensure_ascii=False, separators=(",", ":")) + "\n"
            for number in range(count)
        )

    return write


def as_list(before: str, row: Callable[[int], Any], after: str) -> Callable[[TextIO, int], None]:
    """Return what writes one JSON document with a list."""

    def write(out: TextIO, count: int) -> None:
        out.write(before)
        out.writelines(
            (",\n" if number else "") + json.dumps(row(number), ensure_ascii=False)
            for number in range(count)
        )
        out.write(after)

    return write


def submission(number: int) -> dict[str, Any]:
    """Return a submission as Arctic Shift has it, with the fields that say nothing here too."""
    key = f"m{number:011d}"
    row: dict[str, Any] = SILENT | {
        "all_awardings": [],
        "approved_by": None,
        "archived": False,
        "awarders": [],
        "author": f"user{number % 9973}",
        "author_fullname": f"t2_{number % 9973:06x}",
        "author_flair_text": None,
        "can_gild": False,
        "category": None,
        "contest_mode": False,
        "created_utc": moment(number),
        "distinguished": None,
        "domain": "i.redd.it",
        "downs": 0,
        "edited": False,
        "gilded": 0,
        "gildings": {},
        "id": f"{number:07x}",
        "is_self": False,
        "is_video": False,
        "link_flair_text": None,
        "locked": False,
        "media": None,
        "media_embed": {},
        "num_comments": number % 50,
        "num_crossposts": 0,
        "over_18": False,
        "permalink": f"/r/sky/comments/{number:07x}/post/",
        "pinned": False,
        "retrieved_on": moment(number) + 20,
        "score": number % 500,
        "selftext": text(number),
        "send_replies": True,
        "spoiler": False,
        "stickied": False,
        "subreddit": "sky",
        "subreddit_id": "t5_2sky",
        "thumbnail": "default",
        "title": f"Post {number}",
        "ups": number % 500,
        "upvote_ratio": 0.9,
        "url": f"https://i.redd.it/{key}.jpg",
    }
    if number % 10 == 0:
        items = [f"{key}{place}" for place in range(4)]
        row["is_gallery"] = True
        row["gallery_data"] = {"items": [{"media_id": item, "id": 1} for item in items]}
        row["media_metadata"] = {item: _shown(item) for item in items}
    elif number % 7 == 0:
        url = f"https://v.redd.it/{key}/DASH_720.mp4?source=fallback"
        video = {"fallback_url": url, "width": 1280, "height": 720, "duration": 9, "is_gif": False}
        row |= {"media": {"reddit_video": video}, "is_video": True}
    else:
        row["url_overridden_by_dest"] = row["url"]
        url = f"https://preview.redd.it/{key}.jpg"
        smaller = [
            {"url": f"{url}?width={w}&amp;crop=smart&amp;s={SIGNED}", "width": w, "height": w}
            for w in SIDES[:6]
        ]
        source = {"url": f"{url}?s=1&amp;w=2", "width": 1080, "height": 720}
        shown = {"id": key, "source": source, "resolutions": smaller, "variants": {}}
        row["preview"] = {"enabled": True, "images": [shown]}
    return row


def _shown(item: str) -> dict[str, Any]:
    url = f"https://preview.redd.it/{item}.jpg?width=1080&amp;s={item}"
    size = {"x": 1080, "y": 720, "u": url}
    return {"status": "valid", "e": "Image", "m": "image/jpg", "id": item, "s": size}


def pages(out: TextIO, count: int) -> None:
    """Write pages of X's API as twarc2 does."""
    numbers: Iterator[int] = iter(range(count))
    while page := list(islice(numbers, PAGE)):
        media = [_photo(number) for number in page]
        users = {number % 9973 for number in page}
        whole = {
            "data": [_tweet(number) for number in page],
            "includes": {
                "users": [
                    PROFILE | {"id": str(user), "name": f"User {user}", "username": f"user{user}"}
                    for user in sorted(users)
                ],
                "media": media,
            },
            "meta": {"result_count": len(page), "newest_id": "1"},
            "__twarc": {"version": "2.14.0"},
        }
        out.write(json.dumps(whole) + "\n")


def _tweet(number: int) -> dict[str, Any]:
    post_id = str(10**18 + number)
    return {
        "id": post_id,
        "text": text(number),
        "author_id": str(number % 9973),
        "lang": "en",
        "created_at": iso(number),
        "conversation_id": post_id,
        "possibly_sensitive": False,
        "edit_history_tweet_ids": [post_id],
        "reply_settings": "everyone",
        "attachments": {"media_keys": [f"3_{number}"]},
        "public_metrics": {"retweet_count": 1, "reply_count": 0, "like_count": 5, "quote_count": 0},
        "entities": {"urls": [{"start": 1, "end": 9, "url": f"https://t.co/{number}"}]},
        "context_annotations": CONTEXT,
        "edit_controls": {"edits_remaining": 5, "is_edit_eligible": True},
    }


def _photo(number: int) -> dict[str, Any]:
    url = f"https://pbs.twimg.com/media/M{number}.jpg"
    found = {"media_key": f"3_{number}", "type": "photo", "url": url, "width": 1200, "height": 800}
    return found | {"alt_text": "a comet"}


def message(number: int) -> dict[str, Any]:
    """Return a message as Telegram Desktop writes it."""
    said = text(number)
    row: dict[str, Any] = {
        "id": number,
        "type": "message",
        "date": iso(number, "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}"),
        "date_unixtime": str(moment(number)),
        "from": f"User {number % 9973}",
        "from_id": f"user{number % 9973}",
        "text": said,
        "text_entities": [{"type": "plain", "text": said}],
    }
    if number % 7 == 0:
        row |= {"file": f"video_files/v{number}.mp4", "media_type": "video_file", "width": 640}
        row |= {"mime_type": "video/mp4", "duration_seconds": 9, "height": 360}
    else:
        row |= {"photo": f"photos/photo_{number}.jpg", "width": 1280, "height": 720}
    return row


def collected(number: int) -> dict[str, Any]:
    """Return an item of Instagram as Zeeschuimer keeps it."""
    url = f"https://scontent.example/v/t51/{number}_n.jpg?stp=dst-jpg_e35&_nc_ht=s&_nc_cat=1"
    url += f"&_nc_ohc={SIGNED}&edm=AAAAAAA&ccb=7-5&oh=00_{SIGNED}&oe=65000000&_nc_sid=ee9879"
    shown = [{"url": f"{url}&w={side}", "width": side, "height": side} for side in SIDES]
    own = str(number % 9973)
    user = PERSON | {"id": own, "pk": own, "username": f"user{own}"}
    return {
        "id": number,
        "nav_index": "3:12:0",
        "item_id": f"{number}_1",
        "timestamp_collected": 1_700_000_000_000 + number,
        "user_agent": "Mozilla/5.0",
        "source_platform": "instagram.com",
        "source_platform_url": "https://instagram.com/x",
        "data": {
            "pk": str(number),
            "id": f"{number}_1",
            "code": f"C{number:x}",
            "media_type": 1,
            "taken_at": moment(number),
            "caption": {"pk": "1", "text": text(number)},
            "user": user,
            "owner": user,
            "like_count": 3,
            "comment_count": 1,
            "original_width": 1080,
            "original_height": 1350,
            "image_versions2": {"candidates": shown},
            "accessibility_caption": "Photo of a comet",
        },
    }


def video(number: int) -> dict[str, Any]:
    """Return a video as TikTok's Research API answers."""
    return {
        "id": 7_000_000_000_000_000_000 + number,
        "username": f"user{number % 9973}",
        "create_time": moment(number),
        "video_description": text(number),
        "region_code": "DE",
        "hashtag_names": ["comets", "hills"],
        "music_id": 7001 + number,
        "effect_ids": [],
        "video_duration": 9,
        "like_count": 5,
        "comment_count": 1,
        "share_count": 0,
        "view_count": number % 5000,
        "favorites_count": 2,
        "is_stem_verified": False,
        "voice_to_text": text(number),
        "hashtag_info_list": [
            {"hashtag_id": str(10**18 + place), "hashtag_name": name, "hashtag_description": WORDS}
            for place, name in enumerate(("comets", "hills", "winter"))
        ],
        "video_mention_list": ["ada.example"],
    }


def archived(number: int) -> dict[str, Any]:
    """Return a post as X puts it into a personal archive."""
    url = f"https://pbs.twimg.com/media/M{number}.jpg"
    medium = {"id_str": str(number), "media_url_https": url, "type": "photo", "sizes": {}}
    return {
        "tweet": {
            "id_str": str(10**18 + number),
            "id": str(10**18 + number),
            "full_text": text(number),
            "created_at": "Wed Oct 10 20:19:24 +0000 2018",
            "lang": "en",
            "retweeted": False,
            "favorite_count": "5",
            "retweet_count": "2",
            "truncated": False,
            "entities": {"media": [medium], "urls": [], "hashtags": []},
            "extended_entities": {"media": [medium]},
        }
    }


def fourcat(out: TextIO, count: int) -> None:
    """Write the CSV of a dataset of X's posts as 4CAT does."""
    out.write(
        "id,thread_id,timestamp,unix_timestamp,link,body,author,author_id,like_count,images\n"
    )
    for number in range(count):
        link = f"https://x.com/u/status/{number}"
        when = iso(number, "{:04d}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}")
        images = f'"https://pbs.twimg.com/media/M{number}.jpg,https://pbs.twimg.com/media/N.jpg"'
        said = f'"{text(number)}, ""so"""'
        user = f"user{number % 9973},{number % 9973}"
        out.write(f"{number},{number},{when},{moment(number)},{link},{said},{user},5,{images}\n")


def posted(number: int) -> dict[str, Any]:
    """Return a row of somebody's own table."""
    media = [f"media/{number}_{place}.jpg" for place in range(4 if number % 10 == 0 else 1)]
    return {
        "id": number,
        "author": f"user{number % 9973}",
        "author_id": number % 9973,
        "created_at": iso(number),
        "text": text(number),
        "lang": "en",
        "likes": 5,
        "shares": 1,
        "image": media if number % 10 == 0 else media[0],
    }


def table(out: TextIO, count: int) -> None:
    """Write somebody's own CSV."""
    out.write("id,author,author_id,created_at,text,likes,shares,image\n")
    for number in range(count):
        row = posted(number)
        said = f'"{row["text"]}, ""so"""'
        out.write(f"{number},{row['author']},{row['author_id']},{row['created_at']},{said},5,1,")
        out.write(f"media/{number}_0.jpg\n")


CHAT = '{"name": "Sky", "type": "public_channel", "id": 7, "messages": [\n'
# By name in the bench: the file that is written, and what writes it.
FORMS: dict[str, tuple[str, Callable[[TextIO, int], None]]] = {
    "reddit": ("RS_2023-12.zst", by_line(submission)),
    "twarc2": ("results.jsonl", pages),
    "zeeschuimer": ("zeeschuimer-export-instagram.com-1.ndjson", by_line(collected)),
    "4cat": ("twitter-search-0a1b2c.csv", fourcat),
    "telegram": ("result.json", as_list(CHAT, message, "\n]}\n")),
    "x-archive": ("data/tweets.js", as_list("window.YTD.tweets.part0 = [\n", archived, "\n]\n")),
    "tiktok-research": ("videos.jsonl", by_line(video)),
    "table": ("posts.jsonl", by_line(posted)),
    "table.csv": ("posts.csv", table),
}

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

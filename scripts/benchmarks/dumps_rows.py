"""A number in; the post, message or row of that number out, as each platform or tool writes it."""

from __future__ import annotations

from typing import Any

from scripts.benchmarks.dumps_silent import (
    CONTEXT,
    EDITED,
    MENTIONED,
    PERSON,
    PROFILE,
    SIDES,
    SIGNED,
    SILENT,
    WORDS,
)

FIRST = 1_300_000_000
SECONDS_APART = 7


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


def tweet(number: int) -> dict[str, Any]:
    """Return a post of X's API, as a page has it."""
    post_id = str(10**18 + number)
    return {
        "id": post_id,
        "text": text(number),
        "author_id": str(number % 9973),
        "lang": "en",
        "created_at": iso(number),
        "conversation_id": post_id,
        "possibly_sensitive": False,
        "edit_historytweet_ids": [post_id],
        "reply_settings": "everyone",
        "attachments": {"media_keys": [f"3_{number}"]},
        "public_metrics": {"retweet_count": 1, "reply_count": 0, "like_count": 5, "quote_count": 0},
        "entities": {"urls": [{"start": 1, "end": 9, "url": f"https://t.co/{number}"}]},
        "context_annotations": CONTEXT,
        "edit_controls": {"edits_remaining": 5, "is_edit_eligible": True},
    }


def photo(number: int) -> dict[str, Any]:
    """Return the picture of a post of X's API."""
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
    post_id = str(10**18 + number)
    url = f"https://pbs.twimg.com/media/M{number}.jpg"
    medium = {
        "expanded_url": f"https://twitter.com/ada/status/{post_id}/photo/1",
        "indices": ["81", "104"],
        "url": f"https://t.co/{number}",
        "media_url": url.replace("https", "http"),
        "id_str": str(number),
        "id": str(number),
        "media_url_https": url,
        "sizes": {
            name: {"w": str(side), "h": str(side), "resize": "fit"}
            for name, side in zip(("thumb", "small", "medium", "large"), SIDES, strict=False)
        },
        "type": "photo",
        "display_url": f"pic.twitter.com/{number}",
    }
    shown = {"hashtags": [], "symbols": [], "user_mentions": [MENTIONED], "urls": []}
    return {
        "tweet": EDITED
        | {
            "entities": shown | {"media": [medium]},
            "favorite_count": "5",
            "id_str": post_id,
            "truncated": False,
            "retweet_count": "2",
            "id": post_id,
            "possibly_sensitive": False,
            "created_at": "Wed Oct 10 20:19:24 +0000 2018",
            "favorited": False,
            "full_text": text(number),
            "lang": "en",
            "extended_entities": {"media": [medium]},
        }
    }


def mapped(number: int) -> dict[str, Any]:
    """Return a row as 4CAT maps a post of X, all its columns in order."""
    post_id, own = str(10**18 + number), f"user{number % 9973}"
    when = iso(number, "{:04d}-{:02d}-{:02d} {:02d}:{:02d}:{:02d}")
    media = f"https://pbs.twimg.com/media/M{number}.jpg,https://pbs.twimg.com/media/N.jpg"
    return {
        "id": post_id,
        "thread_id": post_id,
        "timestamp": when,
        "unix_timestamp": moment(number),
        "link": f"https://x.com/{own}/status/{post_id}",
        "body": text(number) + ', "so"',
        "author": own,
        "author_fullname": own.title(),
        "author_id": number % 9973,
        "author_avatar_url": PROFILE["profile_image_url"],
        "author_banner_url": f"https://pbs.twimg.com/profile_banners/{number % 9973}/1600000000",
        "source": "Twitter Web App",
        "language_guess": "en",
        "possibly_sensitive": "no",
        **dict.fromkeys(("retweet_count", "reply_count", "like_count", "quote_count"), 5),
        "impression_count": 700,
        **{f"is_{what}": "no" for what in ("retweet", "quote_tweet", "reply", "withheld")},
        **dict.fromkeys(("retweeted_user", "quoted_user", "replied_user"), ""),
        "hashtags": "comets,hills",
        "urls": "",
        "images": media,
        **dict.fromkeys(("videos", "mentions", "long_lat", "place_name"), ""),
    }


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

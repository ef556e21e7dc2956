"""What platforms add to each post that no reader of ours looks at: made-up dumps have it too."""

from __future__ import annotations

from typing import Any

WORDS = "of the comets that passed over the hills in that winter nobody kept a picture "
SIGNED = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
SIDES = (1080, 720, 640, 480, 320, 240, 150, 1079, 719, 639, 479, 319)

_EMPTY = """
approved_at_utc approved_by author_flair_background_color author_flair_css_class
author_flair_template_id author_flair_text author_flair_text_color banned_at_utc banned_by category
content_categories discussion_type distinguished likes link_flair_css_class link_flair_text mod_note
mod_reason_by mod_reason_title num_reports removal_reason removed_by removed_by_category
report_reasons secure_media selftext_html suggested_sort top_awarded_type view_count
whitelist_status wls pwls parent_whitelist_status
"""
_FALSE = """
allow_live_comments archived author_is_blocked author_patreon_flair author_premium can_gild
can_mod_post clicked contest_mode hidden hide_score is_created_from_ads_ui is_crosspostable is_meta
is_original_content is_reddit_media_domain is_robot_indexable locked media_only no_follow pinned
quarantine saved send_replies spoiler stickied visited
"""
_LISTS = "all_awardings author_flair_richtext awarders link_flair_richtext mod_reports user_reports"

# Of a submission of Reddit, as Arctic Shift keeps it.
SILENT: dict[str, Any] = {
    **dict.fromkeys(_EMPTY.split()),
    **dict.fromkeys(_FALSE.split(), False),
    **{key: [] for key in _LISTS.split()},
    **{key: {} for key in ("gildings", "media_embed", "secure_media_embed")},
    "author_flair_type": "text",
    "link_flair_type": "text",
    "link_flair_text_color": "dark",
    "subreddit_type": "public",
    "subreddit_name_prefixed": "r/sky",
    "subreddit_subscribers": 70421,
    "total_awards_received": 0,
    "thumbnail_height": 93,
    "thumbnail_width": 140,
    "_meta": {"retrieved_2nd_on": 1_701_529_600},
}
# Of a post and of a user of X's API, when twarc2 asks for all.
CONTEXT = [
    {
        "domain": {"id": str(domain), "name": "Entities [Entity Service]", "description": WORDS},
        "entity": {"id": str(10**18 + domain), "name": "Astronomy"},
    }
    for domain in (30, 46, 65, 131)
]
PROFILE = {
    "created_at": "2011-01-01T00:00:00.000Z",
    "description": WORDS * 2,
    "entities": {"url": {"urls": [{"start": 0, "end": 23, "url": "https://t.co/abc"}]}},
    "location": "Hills",
    "pinned_tweet_id": "1",
    "profile_image_url": f"https://pbs.twimg.com/profile_images/1/{SIGNED}_normal.jpg",
    "public_metrics": {"followers_count": 1, "following_count": 2, "tweet_count": 3},
    **dict.fromkeys(("verified", "protected"), False),
}
# Of a post in X's own archive.
EDITED = {
    "edit_info": {
        "initial": {
            "editTweetIds": ["1"],
            "editableUntil": "2018-10-10T21:19:24.000Z",
            "editsRemaining": "5",
            "isEditEligible": True,
        }
    },
    "retweeted": False,
    "source": '<a href="https://mobile.twitter.com" rel="nofollow">Twitter Web App</a>',
    "display_text_range": ["0", "104"],
}
MENTIONED = {
    "name": "Ada",
    "screen_name": "ada",
    "indices": ["3", "13"],
    "id_str": "900000001",
    "id": "900000001",
}
# Of a user of Instagram.
PERSON = {
    "fbid_v2": "17841400000000000",
    "profile_pic_id": "1",
    "profile_pic_url": f"https://scontent.example/v/t51/{SIGNED}.jpg?_nc_ht=s&_nc_ohc={SIGNED}",
    "account_badges": [],
    "latest_reel_media": 0,
    "friendship_status": {"following": False, "is_bestie": False, "is_restricted": False},
    **dict.fromkeys(("is_private", "is_verified", "is_unpublished"), False),
    **dict.fromkeys(("has_anonymous_profile_picture", "feed_post_reshare_disabled"), False),
}

window.YTD.tweets.part1 = [
  {
    "tweet": {
      "id_str": "1050118621198921732",
      "id": "1050118621198921732",
      "full_text": "words of old",
      "created_at": "Sun Jul 20 20:17:40 +0000 1969",
      "lang": "en",
      "favorite_count": "5",
      "retweet_count": "2",
      "retweeted": false,
      "truncated": false
    }
  },
  {
    "tweet": {
      "id_str": "1050118621198921733",
      "id": "1050118621198921733",
      "full_text": "its picture is gone",
      "created_at": "Wed Oct 10 20:19:24 +0000 2018",
      "lang": "en",
      "favorite_count": "5",
      "retweet_count": "2",
      "retweeted": false,
      "truncated": false,
      "entities": {
        "media": [
          {
            "id_str": "17",
            "media_url_https": "https://pbs.twimg.com/media/Gone.jpg",
            "media_url": "http://pbs.twimg.com/media/Gone.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            }
          }
        ],
        "hashtags": [],
        "urls": []
      },
      "extended_entities": {
        "media": [
          {
            "id_str": "17",
            "media_url_https": "https://pbs.twimg.com/media/Gone.jpg",
            "media_url": "http://pbs.twimg.com/media/Gone.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            }
          }
        ]
      }
    }
  }
]
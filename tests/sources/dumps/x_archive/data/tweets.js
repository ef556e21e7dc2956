window.YTD.tweets.part0 = [
  {
    "tweet": {
      "id_str": "1050118621198921728",
      "id": "1050118621198921728",
      "full_text": "a photograph, marker",
      "created_at": "Wed Oct 10 20:19:24 +0000 2018",
      "lang": "en",
      "favorite_count": "5",
      "retweet_count": "2",
      "retweeted": false,
      "truncated": false,
      "entities": {
        "media": [
          {
            "id_str": "11",
            "media_url_https": "https://pbs.twimg.com/media/Aa1.jpg",
            "media_url": "http://pbs.twimg.com/media/Aa1.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            },
            "ext_alt_text": "a red square"
          }
        ],
        "hashtags": [],
        "urls": []
      },
      "extended_entities": {
        "media": [
          {
            "id_str": "11",
            "media_url_https": "https://pbs.twimg.com/media/Aa1.jpg",
            "media_url": "http://pbs.twimg.com/media/Aa1.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            },
            "ext_alt_text": "a red square"
          }
        ]
      }
    }
  },
  {
    "tweet": {
      "id_str": "1050118621198921729",
      "id": "1050118621198921729",
      "full_text": "RT @bob: shared",
      "created_at": "Wed Oct 10 20:19:24 +0000 2018",
      "lang": "en",
      "favorite_count": "5",
      "retweet_count": "2",
      "retweeted": false,
      "truncated": false,
      "entities": {
        "media": [
          {
            "id_str": "12",
            "media_url_https": "https://pbs.twimg.com/media/Bb1.jpg",
            "media_url": "http://pbs.twimg.com/media/Bb1.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            },
            "source_status_id_str": "1040000000000000001"
          }
        ],
        "hashtags": [],
        "urls": []
      },
      "extended_entities": {
        "media": [
          {
            "id_str": "12",
            "media_url_https": "https://pbs.twimg.com/media/Bb1.jpg",
            "media_url": "http://pbs.twimg.com/media/Bb1.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            },
            "source_status_id_str": "1040000000000000001"
          }
        ]
      }
    }
  },
  {
    "tweet": {
      "id_str": "1050118621198921730",
      "id": "1050118621198921730",
      "full_text": "four pictures",
      "created_at": "Wed Oct 10 20:19:24 +0000 2018",
      "lang": "en",
      "favorite_count": "5",
      "retweet_count": "2",
      "retweeted": false,
      "truncated": false,
      "entities": {
        "media": [
          {
            "id_str": "13",
            "media_url_https": "https://pbs.twimg.com/media/Ab1.jpg",
            "media_url": "http://pbs.twimg.com/media/Ab1.jpg",
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
            "id_str": "13",
            "media_url_https": "https://pbs.twimg.com/media/Ab1.jpg",
            "media_url": "http://pbs.twimg.com/media/Ab1.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            }
          },
          {
            "id_str": "14",
            "media_url_https": "https://pbs.twimg.com/media/Ab2.jpg",
            "media_url": "http://pbs.twimg.com/media/Ab2.jpg",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            }
          },
          {
            "id_str": "15",
            "media_url_https": "https://pbs.twimg.com/media/Ab3.png",
            "media_url": "http://pbs.twimg.com/media/Ab3.png",
            "type": "photo",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            }
          },
          {
            "id_str": "16",
            "media_url_https": "https://pbs.twimg.com/media/Ab4.jpg",
            "media_url": "http://pbs.twimg.com/media/Ab4.jpg",
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
  },
  {
    "tweet": {
      "id_str": "1050118621198921731",
      "id": "1050118621198921731",
      "full_text": "a video",
      "created_at": "Wed Oct 10 20:19:24 +0000 2018",
      "lang": "en",
      "favorite_count": "5",
      "retweet_count": "2",
      "retweeted": false,
      "truncated": false,
      "in_reply_to_status_id_str": "1050118621198921730",
      "entities": {
        "media": [
          {
            "id_str": "21",
            "media_url_https": "https://pbs.twimg.com/media/Vv1.jpg",
            "media_url": "http://pbs.twimg.com/media/Vv1.jpg",
            "type": "video",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            },
            "video_info": {
              "aspect_ratio": [
                "16",
                "9"
              ],
              "duration_millis": "9500",
              "variants": [
                {
                  "bitrate": "832000",
                  "content_type": "video/mp4",
                  "url": "https://video.twimg.com/ext_tw_video/21/pu/vid/640x360/small.mp4?tag=3"
                },
                {
                  "content_type": "application/x-mpegURL",
                  "url": "https://video.twimg.com/ext_tw_video/21/pu/pl/list.m3u8"
                },
                {
                  "bitrate": "2176000",
                  "content_type": "video/mp4",
                  "url": "https://video.twimg.com/ext_tw_video/21/pu/vid/1280x720/large.mp4?tag=3"
                }
              ]
            }
          }
        ],
        "hashtags": [],
        "urls": []
      },
      "extended_entities": {
        "media": [
          {
            "id_str": "21",
            "media_url_https": "https://pbs.twimg.com/media/Vv1.jpg",
            "media_url": "http://pbs.twimg.com/media/Vv1.jpg",
            "type": "video",
            "expanded_url": "https://twitter.com/ada/status/1/photo/1",
            "sizes": {
              "large": {
                "w": "1200",
                "h": "800",
                "resize": "fit"
              }
            },
            "video_info": {
              "aspect_ratio": [
                "16",
                "9"
              ],
              "duration_millis": "9500",
              "variants": [
                {
                  "bitrate": "832000",
                  "content_type": "video/mp4",
                  "url": "https://video.twimg.com/ext_tw_video/21/pu/vid/640x360/small.mp4?tag=3"
                },
                {
                  "content_type": "application/x-mpegURL",
                  "url": "https://video.twimg.com/ext_tw_video/21/pu/pl/list.m3u8"
                },
                {
                  "bitrate": "2176000",
                  "content_type": "video/mp4",
                  "url": "https://video.twimg.com/ext_tw_video/21/pu/vid/1280x720/large.mp4?tag=3"
                }
              ]
            }
          }
        ]
      }
    }
  }
]
window.YTD.account.part0 = [
  {
    "account": {
      "accountId": "900000000000000001",
      "username": "ada",
      "accountDisplayName": "Ada",
      "createdAt": "2009-01-01T00:00:00.000Z"
    }
  }
]
"""A service, a path and a body enter; Google's answer leaves, as JSON says it.

google.get("compute", "projects/lab/regions/us-central1")
google.pages("secretmanager", "v1/projects/lab/secrets", "secrets")
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import google.auth
from google.auth.transport.requests import AuthorizedSession
from google.oauth2.credentials import Credentials as Person
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from imgbatch.cloud.gcp.errors import Refusal, told
from imgbatch.errors import SettingsError
from imgbatch.settings import variables
from imgbatch.storage.secrets import remember

if TYPE_CHECKING:
    from collections.abc import Iterator

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# Where each service is, and the name that `gcloud` has for it in CLOUDSDK_API_ENDPOINT_OVERRIDES_.
SERVICES = {
    "artifactregistry": "https://artifactregistry.googleapis.com/",
    "cloudbilling": "https://cloudbilling.googleapis.com/",
    "cloudresourcemanager": "https://cloudresourcemanager.googleapis.com/",
    "cloudscheduler": "https://cloudscheduler.googleapis.com/",
    "compute": "https://compute.googleapis.com/compute/v1/",
    "iam": "https://iam.googleapis.com/",
    "secretmanager": "https://secretmanager.googleapis.com/",
    "serviceusage": "https://serviceusage.googleapis.com/",
    "storage": "https://storage.googleapis.com/storage/v1/",
}
OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
PROJECT = ("GOOGLE_CLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT")
REGION = ("CLOUDSDK_COMPUTE_REGION", "GOOGLE_CLOUD_REGION")
SECONDS = 30
# A run goes on while nobody answers: short patience here, and the next tick asks again. What is
# posted here may be posted twice: sizes, ends by name, a moment.
PATIENCE = Retry(
    total=3,
    backoff_factor=0.3,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)


class Google:
    """Google's APIs with one set of credentials.

    Attributes:
        project: id of the project that is meant.
        region: that is meant where none is named.

    Raises:
        SettingsError: no region or no project is given, nor known.
        CredentialsError: there are none.
    """

    def __init__(self, region: str, project: str = "") -> None:
        with told("looking for credentials"):
            self._credentials, found = google.auth.default(scopes=[SCOPE])
        said = variables(*PROJECT, *REGION)
        self.project = project or next((said[n] for n in PROJECT if n in said), found or "")
        self.region = region or next((said[name] for name in REGION if name in said), "")
        if not self.project:
            raise SettingsError(
                "no project of Google Cloud is given",
                "Set GOOGLE_CLOUD_PROJECT, or `gcloud auth application-default "
                "set-quota-project PROJECT`.",
            )
        if not self.region:
            raise SettingsError(
                "no region of Google Cloud is given",
                "Give --region, or set CLOUDSDK_COMPUTE_REGION, such as us-central1.",
            )
        if isinstance(self._credentials, Person) and not self._credentials.quota_project_id:
            # Most services answer a person only where a project is named that pays for it.
            self._credentials = self._credentials.with_quota_project(self.project)
        self._own = threading.local()

    def get(self, service: str, path: str, **query: Any) -> Any:
        """Ask for something.

        Raises:
            Refusal: Google says no; `told` makes an error of ours of it.
        """
        return self._send("GET", service, path, query, None)

    def post(self, service: str, path: str, body: Any = None, **query: Any) -> Any:
        """Have something done.

        Raises:
            Refusal: as above.
        """
        return self._send("POST", service, path, query, body)

    def patch(self, service: str, path: str, body: Any, **query: Any) -> Any:
        """Change something.

        Raises:
            Refusal: as above.
        """
        return self._send("PATCH", service, path, query, body)

    def pages(
        self, service: str, path: str, field: str, *, posted: bool = False, **query: Any
    ) -> Iterator[Any]:
        """Yield what a listing has, page by page; of an aggregated one, of all places.

        Raises:
            Refusal: as above.
        """
        ask = self.post if posted else self.get
        token: dict[str, str] = {}
        while True:
            page = ask(service, path, **query, **token)
            found = page.get(field, [])
            if isinstance(found, dict):  # aggregated: by zone or region
                kind = path.rpartition("/")[2]
                yield from (one for scope in found.values() for one in scope.get(kind, []))
            else:
                yield from found
            if not page.get("nextPageToken"):
                return
            token = {"pageToken": page["nextPageToken"]}

    def _send(self, verb: str, service: str, path: str, query: dict[str, Any], body: Any) -> Any:
        name = f"{OVERRIDE}{service.upper()}"
        base = variables(name).get(name, SERVICES[service])
        answer = self._session().request(
            verb,
            f"{base.rstrip('/')}/{path}",
            params={key: value for key, value in query.items() if value is not None},
            json=body,
            timeout=SECONDS,
        )
        remember(self._credentials.token)
        if not answer.ok:
            raise Refusal(answer)
        return answer.json() if answer.content else {}

    def _session(self) -> Any:
        # A session is not for several threads at once.
        if not hasattr(self._own, "session"):
            session: Any = AuthorizedSession(self._credentials)  # type: ignore[no-untyped-call] # it says none
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTPAdapter(max_retries=PATIENCE))
            self._own.session = session
        return self._own.session


def one(name: str) -> str:
    """Return a name as one word of a path, whatever is in it."""
    return quote(name, safe="")


def last(url: str) -> str:
    """Return the name of what a URL of Compute Engine is of."""
    return url.rpartition("/")[2]

"""What Application Insights and App Service are to an exporter: ingestion for Entra identities, and the identity."""

import gzip
import json
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs

from local.https_server import Reply, Request


@dataclass
class ApplicationInsights:
    """`answer` for a server at `url`; `settings` bring an app's telemetry there."""

    url: str = ""
    envelopes: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    TOKEN: ClassVar[str] = "token-of-the-managed-identity"

    def answer(self, request: Request) -> Reply:
        if request.path == "/identity":
            [resource] = parse_qs(request.query)["resource"]
            token = {"access_token": self.TOKEN, "expires_on": "4102444800", "token_type": "Bearer"}
            return Reply.json(token) if resource.startswith("https://monitor.azure.com") else Reply.json({}, 400)
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        with self._lock:
            if request.headers.get("authorization") != f"Bearer {self.TOKEN}":
                self.refused += 1
                return Reply.json({}, 401)
            envelopes = json.loads(body)
            self.envelopes += envelopes
        return Reply.json({"itemsReceived": len(envelopes), "itemsAccepted": len(envelopes), "errors": []})

    def of(self, base_type: str) -> list[dict[str, Any]]:
        with self._lock:
            return [each["data"]["baseData"] for each in self.envelopes if each["data"]["baseType"] == base_type]

    @property
    def settings(self) -> dict[str, str]:
        key = "00000000-0000-0000-0000-000000000001"
        return {
            "TELEMETRY_EXPORT": "azure_monitor",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": f"InstrumentationKey={key};IngestionEndpoint={self.url}/",
            "APPLICATIONINSIGHTS_AUTHENTICATION_STRING": "Authorization=AAD",
            "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
            "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
            "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",
            "IDENTITY_ENDPOINT": f"{self.url}/identity",
            "IDENTITY_HEADER": "from-the-platform",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "300",
        }

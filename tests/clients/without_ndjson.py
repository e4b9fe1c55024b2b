"""Removes bodies of the type application/x-ndjson from an OpenAPI document."""

import json
import sys

document = json.load(sys.stdin)
for item in document["paths"].values():
    for operation in item.values():
        operation.get("requestBody", {}).get("content", {}).pop("application/x-ndjson", None)
json.dump(document, sys.stdout)

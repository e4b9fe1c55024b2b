"""Calls the API with the client that openapi-python-client generates. It passes mypy --strict without casts."""

import os
import sys
import time
from uuid import UUID

from aval_client import AuthenticatedClient, Client
from aval_client.api.accounts import create_api_key, get_me, login
from aval_client.api.applications import (
    change_application,
    create_application,
    get_application,
    get_application_audit,
    get_application_decision,
    list_applications,
    search_applications,
)
from aval_client.api.countries import check_document, list_countries
from aval_client.models import (
    ApplicationStatus,
    ApplicationView,
    BankingView,
    CountryCode,
    CountryList,
    CreateApiKeyRequest,
    CreatedApiKey,
    CreateRequest,
    CreateRequestCountrySpecificDataType0,
    DocumentCheckRequest,
    DocumentVerdict,
    FieldCode,
    LoginRequest,
    Me,
    PatchRequest,
    PatchRequestCountrySpecificDataType0,
    Problem,
    ProblemCode,
    RiskBandName,
    RoleName,
    ScopeName,
    SearchRequest,
    SessionTokens,
)
from aval_client.types import Unset

URL = os.environ["AVAL_URL"]


def check(condition: bool, what: str) -> None:
    if not condition:
        sys.exit(f"{what} failed")


def wait_until_decided(client: AuthenticatedClient, application_id: UUID) -> ApplicationView:
    for _ in range(300):
        application = get_application.sync(application_id, client=client)
        if not isinstance(application, ApplicationView):
            sys.exit(f"no application: {application}")
        if application.status not in (ApplicationStatus.PENDING, ApplicationStatus.VALIDATING):
            return application
        time.sleep(0.1)
    sys.exit("not decided")


def main() -> None:
    tokens = login.sync(
        client=Client(base_url=URL),
        body=LoginRequest(username=os.environ["AVAL_USER"], password=os.environ["AVAL_PASSWORD"]),
    )
    if not isinstance(tokens, SessionTokens):
        sys.exit(f"no tokens: {tokens}")
    client = AuthenticatedClient(base_url=URL, token=tokens.access_token)

    me = get_me.sync(client=client)
    check(isinstance(me, Me) and me.role == RoleName.ADMIN and me.valid_until is not None, "me")
    countries = list_countries.sync(client=client)
    check(isinstance(countries, CountryList) and countries.countries[0].code == CountryCode.ES, "countries")
    verdict = check_document.sync(
        CountryCode.PT, client=client, body=DocumentCheckRequest(identity_document="123456789")
    )
    check(isinstance(verdict, DocumentVerdict) and verdict.valid, "document check")

    data = CreateRequestCountrySpecificDataType0()
    data["employer"] = "Silva"
    data["years_employed"] = 2
    created = create_application.sync(
        client=client,
        body=CreateRequest(
            country=CountryCode.PT,
            full_name="Maria Silva",
            identity_document="123456789",
            requested_amount="9000.00",
            monthly_income=2500,
            country_specific_data=data,
        ),
        idempotency_key="c1f4ac2b-52a1-4c36-8a8f-4d5d1c6d9b0e",
    )
    if not isinstance(created, ApplicationView):
        sys.exit(f"not created: {created}")
    check(created.risk_score is None and created.country_specific_data["employer"] == "Silva", "creation")

    application = wait_until_decided(client, created.id)
    check(application.status == ApplicationStatus.APPROVED, "decision")
    check(application.risk_band == RiskBandName.LOW and isinstance(application.banking_data, BankingView), "risk")
    decision = get_application_decision.sync(created.id, client=client)
    check(decision is not None and not isinstance(decision, Problem) and len(decision.rules) > 0, "explanation")
    audit = get_application_audit.sync(created.id, client=client)
    check(audit is not None and not isinstance(audit, Problem) and audit.entries[0].old_status is None, "audit")

    patch = PatchRequestCountrySpecificDataType0()
    patch["years_employed"] = None
    changed = change_application.sync(
        created.id,
        client=client,
        body=PatchRequest(country_specific_data=patch),
        if_match=f'"v{application.version}"',
    )
    check(isinstance(changed, ApplicationView) and "years_employed" not in changed.country_specific_data, "patch")

    page = list_applications.sync(client=client, country=CountryCode.PT, page_size=5)
    check(
        page is not None and not isinstance(page, Problem) and page.next_cursor is None and len(page.applications) == 1,
        "list",
    )
    found = search_applications.sync(
        client=client, body=SearchRequest(country=CountryCode.PT, identity_document="123456789")
    )
    check(found is not None and not isinstance(found, Problem) and len(found.applications) == 1, "search")

    refused = create_application.sync(
        client=client,
        body=CreateRequest(
            country=CountryCode.PT,
            full_name="Maria Silva",
            identity_document="123456780",
            requested_amount="9000.00",
            monthly_income="2500.00",
        ),
    )
    if not isinstance(refused, Problem) or isinstance(refused.errors, Unset):
        sys.exit(f"not refused: {refused}")
    check(refused.code == ProblemCode.VALIDATION_FAILED, "problem")
    check(refused.errors[0].code == FieldCode.BAD_CHECK_DIGIT, "field error")

    key = create_api_key.sync(
        client=client,
        body=CreateApiKeyRequest(name="python-client", role=RoleName.USER, scopes=[ScopeName.APPLICATIONSREAD]),
    )
    if not isinstance(key, CreatedApiKey) or isinstance(key.key, Unset):
        sys.exit(f"no key: {key}")
    machine = get_me.sync(client=AuthenticatedClient(base_url=URL, token=key.key))
    check(isinstance(machine, Me) and machine.account == "key:python-client", "a key as a bearer token")
    print("Python: every call succeeded")


main()

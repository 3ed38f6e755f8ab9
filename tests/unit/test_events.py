"""Notifications of object stores, as their documentation shows them, and what must not be taken for one."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Catalog
from workers.errors import ConfigurationError, ContractError
from workers.indexing.events import Notification, ObjectEvent, read_notification
from workers.indexing.sources import catalogs_of, check_source


def record(name: str = "ObjectCreated:Put", key: str = "women/a.jpg", bucket: str = "images") -> dict[str, Any]:
    described = {"key": key, "size": 1024, "eTag": "abc", "versionId": "v1", "sequencer": "0055AED6DCD90281E5"}
    s3 = {"s3SchemaVersion": "1.0", "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": described}
    return {"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": name, "s3": s3}


def records(*given: dict[str, Any]) -> str:
    return json.dumps({"Records": list(given)})


def eventbridge(kind: str = "Object Created", key: str = "women/a.jpg") -> str:
    detail = {"version": "0", "bucket": {"name": "images"}, "object": {"key": key, "size": 5, "sequencer": "617f"}}
    return json.dumps({"version": "0", "detail-type": kind, "source": "aws.s3", "detail": detail})


def sns(message: str, kind: str = "Notification") -> str:
    return json.dumps({"Type": kind, "MessageId": "1", "TopicArn": "arn", "Message": message})


ONE = (ObjectEvent(bucket="images", key="women/a.jpg"),)


def minio() -> str:
    one = record("s3:ObjectCreated:Put") | {"eventSource": "minio:s3"}
    return json.dumps({"EventName": "s3:ObjectCreated:Put", "Key": "images/women/a.jpg", "Records": [one]})


@pytest.mark.parametrize(
    "body",
    [
        records(record()),
        records(record("ObjectRemoved:DeleteMarkerCreated")),
        records(record("LifecycleExpiration:Delete")),
        records(record(), record("ObjectRemoved:Delete")),
        minio(),
        eventbridge(),
        eventbridge("Object Deleted"),
        sns(records(record())),
        sns(eventbridge()),
        sns(sns(records(record()))),
    ],
)
def test_every_format_names_the_object(body: str) -> None:
    assert read_notification(body).events == ONE
    assert read_notification(body.encode()).events == ONE


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("red+flower.jpg", "red flower.jpg"),
        ("a%2Bb.jpg", "a+b.jpg"),
        ("%C3%A9t%C3%A9/1.jpg", "été/1.jpg"),
        ("100%25.jpg", "100%.jpg"),
        ("a/b%3Fc.jpg", "a/b?c.jpg"),
    ],
)
def test_keys_of_records_are_decoded_and_those_of_eventbridge_are_plain(written: str, key: str) -> None:
    assert read_notification(records(record(key=written))).events == (ObjectEvent(bucket="images", key=key),)
    assert read_notification(eventbridge(key=written)).events == (ObjectEvent(bucket="images", key=written),)


@pytest.mark.parametrize(
    "body",
    [
        records(record("ObjectTagging:Put")),
        records(record("ReducedRedundancyLostObject")),
        records(record(key="women/")),
        records(record(key="a/../b.jpg")),
        records(record(key="%ff.jpg")),
        eventbridge("Object Tags Added"),
        eventbridge(key="/a.jpg"),
    ],
)
def test_other_events_and_other_names_are_passed_over(body: str) -> None:
    assert read_notification(body) == Notification(passed_over=1)


def test_the_test_message_says_nothing_and_a_subscription_asks_a_person() -> None:
    body = json.dumps(
        {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "images", "RequestId": "5582815E1AEA"}
    )
    assert read_notification(body) == Notification()
    asked = json.loads(sns("You have chosen", kind="SubscriptionConfirmation")) | {
        "SubscribeURL": "https://sns.example/?x"
    }
    assert read_notification(json.dumps(asked)).subscription_url == "https://sns.example/?x"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "[]",
        "7",
        "null",
        "{}",
        '{"Records": 3}',
        '{"Records": [{"eventName": "ObjectCreated:Put"}]}',
        '{"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": ""}, "object": {"key": "a"}}}]}',
        '{"detail-type": "Object Created", "source": "aws.s3", "detail": {}}',
        '{"Type": "Else", "Message": ""}',
        sns(sns(sns(records(record())))),
        '{"Event": "other"}',
    ],
)
def test_what_is_none_is_refused_in_a_line(body: str) -> None:
    with pytest.raises(ContractError) as refused:
        read_notification(body)
    assert "\n" not in str(refused.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Records", "Type", "Message", "detail-type", "detail", "source", "s3", "Event"])
                | st.text(),
                inner,
            )
        ),
    )
)
def test_no_json_breaks_the_reader(value: object) -> None:
    with suppress(ContractError):
        read_notification(json.dumps(value))


def catalog(name: str, url: str) -> Catalog:
    return Catalog(name=name, source_url=url, created_at=datetime.now(UTC))


def test_events_find_the_catalogs_whose_source_holds_the_object() -> None:
    known = [
        catalog("all", "s3://images"),
        catalog("women", "s3://images/women"),
        catalog("minio", "s3://images/women?endpoint=http://127.0.0.1:9000"),
        catalog("other", "s3://images-2/women"),
        catalog("woman", "s3://images/wom"),
        catalog("folder", "file:///images/women"),
    ]
    found = [(c.name, key) for c, key in catalogs_of(known, "images", "women/a.jpg")]
    assert found == [("all", "women/a.jpg"), ("women", "a.jpg"), ("minio", "a.jpg")]
    assert catalogs_of(known, "images", "women/") == [(known[0], "women/")]


ALLOWED = "s3://images, s3://shared/fashion/,file:///data/,gs://pictures, s3://lab/?endpoint=http://127.0.0.1:9000"


@pytest.mark.parametrize(
    "url",
    [
        "s3://images",
        "s3://images/",
        "s3://images/women",
        "S3://images/women",
        "s3a://images/women",
        "s3://shared/fashion",
        "s3://shared/fashion/2027/",
        "file:///data",
        "file:///data/images",
        "file://localhost/data/images",
        "/data/images",
        "gs://pictures/x",
        "s3://lab/x?endpoint=http://127.0.0.1:9000",
        "s3://lab/x?endpoint=http://127.0.0.1:9000/",
    ],
)
def test_sources_under_an_allowed_prefix_are_taken(url: str) -> None:
    check_source(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "s3://images-evil",
        "s3://image",
        "s3://Images",
        "s3://shared",
        "s3://shared/fashion-2",
        "s3://shared/Fashion",
        "s3://shared/fashion/../secret",
        "s3://shared/fashion/%2e%2e/secret",
        "s3://shared/./fashion",
        "s3://images@evil/women",
        "s3://key:secret@images/women",
        "s3://images?endpoint=http://evil.example",
        "s3://lab/x",
        "s3://lab/x?endpoint=http://127.0.0.1:9000.evil.example",
        "s3://lab/x?endpoint=http://key@127.0.0.1:9000",
        "s3:/images",
        "s3:///images",
        "file:///data-2",
        "file:///data/../etc",
        "file:///data/%2e%2e/etc",
        "file://evil/data/images",
        "file:///",
        "/etc",
        "data/images",
        "",
        "gs://images",
        "az://images",
        "memory://images",
        "https://images",
        "s3://images\n",
        "s3://shared\\fashion",
    ],
)
def test_every_other_source_is_refused(url: str) -> None:
    with pytest.raises(ContractError):
        check_source(url, ALLOWED)


def test_no_credentials_are_repeated_and_a_bad_list_is_the_operators_fault() -> None:
    with pytest.raises(ContractError) as refused:
        check_source("s3://key:canary@images/women", ALLOWED)
    assert "canary" not in str(refused.value)
    with pytest.raises(ConfigurationError, match="CATALOG_SOURCES"):
        check_source("s3://images", "ftp://images")
    check_source("s3://anything", None)

"""Access logs arrive where subscriptions say, in an independent S3, CloudWatch Logs and Firehose (moto)."""

import datetime
import gzip
import json
import re
import subprocess
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto.server import DomainDispatcherApplication, ThreadedMotoServer, create_backend_app
from werkzeug.serving import make_server

from instance import Instance, eventually, fixed, unique

ACCOUNT = "111122223333"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIAOFTHEDESTINATION", "AWS_SECRET_ACCESS_KEY": "of-the-destination"}
FIELDS = {
    "startTime", "requestId", "requestMethod", "requestPath", "hostHeader", "userAgent", "protocol", "responseCode",
    "bytesReceived", "bytesSent", "duration", "requestToTargetDuration", "responseFromTargetDuration",
    "sourceIpPort", "targetIpPort", "sourceVpcId", "sourceVpcArn", "destinationVpcId", "serviceNetworkArn",
    "serviceArn", "targetGroupArn", "listenerType", "listenerId", "tlsVersion", "sslCipher", "serverNameIndication",
    "resolvedUser", "authDeniedReason", "callerPrincipal", "callerPrincipalOrgID", "callerPrincipalTags",
    "callerX509SubjectCN", "callerX509IssuerOU", "callerX509SANNameCN", "callerX509SANDNS", "callerX509SANURI",
    "failureReason",
}


class Destination:
    """The three services on one port. Stopped and started again it knows what it knew."""

    def __init__(self):
        self.port = 0
        self.server = None

    def start(self):
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self.server.start()
        _, self.port = self.server.get_host_and_port()
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def stop(self):
        self.server.stop()

    def client(self, service):
        return boto3.session.Session().client(
            service, region_name="us-east-1", endpoint_url=self.url,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"])

    def bucket(self):
        name = unique("bucket")
        self.client("s3").create_bucket(Bucket=name)
        return name

    def objects(self, bucket):
        """Every object: key -> bytes."""
        s3 = self.client("s3")
        listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in listed}

    def delivered(self, bucket):
        """The records in every object of a bucket."""
        return [json.loads(line) for body in self.objects(bucket).values()
                for line in gzip.decompress(body).splitlines()]

    def group(self):
        name = unique("/lattice/group")
        self.client("logs").create_log_group(logGroupName=name)
        return name

    def events(self, group):
        """Stream and event, in order."""
        logs = self.client("logs")
        return [(stream["logStreamName"], event)
                for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
                for event in logs.get_log_events(
                    logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]]

    def stream(self, bucket):
        """A delivery stream that puts what it is given into a bucket."""
        name = unique("stream")
        self.client("firehose").create_delivery_stream(
            DeliveryStreamName=name,
            ExtendedS3DestinationConfiguration={
                "RoleARN": f"arn:aws:iam::{ACCOUNT}:role/firehose", "BucketARN": f"arn:aws:s3:::{bucket}"})
        return name


@pytest.fixture
def destination():
    destination = Destination().start()
    yield destination
    destination.stop()


@pytest.fixture
def tls_door(tmp_path):
    """Another door to the same three services: its URL, and the certificate it shows."""
    certificate, key = tmp_path / "door.pem", tmp_path / "door.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=door", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), True,
                         ssl_context=(str(certificate), str(key)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}", certificate
    server.shutdown()
    thread.join()


def flags(destination, seconds=1):
    kinds = ("s3", "logs", "firehose")
    return [*(f"--log-endpoint={kind}={destination.url}" for kind in kinds),
            *(f"--log-interval={kind}={seconds}" for kind in kinds)]


class World:
    """A client that can call one service of one network."""

    def __init__(self, instance):
        self.instance = instance
        vpc, subnet = instance.vpc()
        self.client = instance.host(subnet)
        self.service, _, name = instance.service(fixed(404))
        self.network = instance.network([vpc], [self.service])
        self.url = f"http://{name}/path?query"
        eventually(lambda: instance.status(self.client, self.url) == 404, what="the service answering")
        # Its line is written before anything subscribes.
        eventually(instance.records, what="the line of the first request")

    def subscribe(self, resource, destination, **more):
        """The subscription's id, once records are taken for it."""
        made = self.instance.lattice.create_access_log_subscription(
            resourceIdentifier=resource, destinationArn=destination, **more)["id"]
        eventually(lambda: f'subscription="{made}"' in metrics(self.instance), what="the delivery knowing")
        return made

    def call(self, request_id):
        assert self.instance.status(self.client, self.url, "-H", f"x-amzn-requestid: {request_id}") == 404

    def call_many(self, request_ids):
        """One curl, many requests."""
        words = []
        for request_id in request_ids:
            words += ["--next", "-sS", "-o", "/dev/null", "-H", f"x-amzn-requestid: {request_id}", self.url]
        self.instance.inside(self.client, "curl", *words[1:])


def metrics(instance):
    [*_, port] = re.findall(r"metrics.*127\.0\.0\.1:(\d+)", instance.log.read_text())
    return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()


def metric(instance, name, subscription, more=""):
    [value] = re.findall(rf'^{name}{{subscription="{subscription}"{more}}} (\d+)$', metrics(instance), re.M)
    return int(value)


def second(milliseconds):
    moment = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def ids(records):
    return sorted(record["requestId"] for record in records)


def spooled(instance, subscription):
    directory = instance.data / "spool" / subscription
    return "".join(path.read_text() for path in sorted(directory.glob("*.jsonl")))


def test_a_record_arrives_in_a_bucket_a_log_group_and_a_delivery_stream(tmp_path, destination):
    with Instance(tmp_path, *flags(destination), environment=KEYS) as instance:
        world = World(instance)
        bucket, other, group = destination.bucket(), destination.bucket(), destination.group()
        stream = destination.stream(other)
        world.subscribe(world.service, f"arn:aws:s3:::{bucket}/some/prefix")
        world.subscribe(world.network, f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}:*")
        world.subscribe(world.service, f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/{stream}")
        world.call("one")
        world.call("two")

        eventually(lambda: ids(destination.delivered(bucket)) == ["one", "two"], what="both records in the bucket")
        for key in destination.objects(bucket):
            assert re.fullmatch(
                rf"some/prefix/AWSLogs/{ACCOUNT}/VpcLattice/AccessLogs/us-east-1/\d{{4}}/\d\d/\d\d/{world.service}/"
                rf"{ACCOUNT}_VpcLatticeAccessLogs_us-east-1_{world.service}_\d{{8}}T\d{{4}}Z_[0-9a-f]+\.json\.gz", key)
        record = min(destination.delivered(bucket), key=lambda record: record["requestId"])
        assert set(record) == FIELDS
        assert record["serviceArn"].endswith(world.service) and record["serviceNetworkArn"].endswith(world.network)
        assert (record["requestPath"], record["responseCode"], record["protocol"]) == ("/path", 404, "HTTP/1.1")

        events = eventually(lambda: len(seen := destination.events(group)) == 2 and seen, what="both log events")
        for name, event in events:
            assert name == f"{ACCOUNT}_VpcLatticeAccessLogs_us-east-1_{world.network}"
            record = json.loads(event["message"])
            assert set(record) == FIELDS
            assert record["startTime"] == second(event["timestamp"])
        assert ids(json.loads(event["message"]) for _, event in events) == ["one", "two"]

        def streamed():
            return [json.loads(line) for body in destination.objects(other).values()
                    for line in body.decode().splitlines()]

        eventually(lambda: ids(streamed()) == ["one", "two"], what="both records from the stream")
        assert set(streamed()[0]) == FIELDS
        text = metrics(instance)
        assert text.count('outcome="delivered"} 2\n') == 3, text
        assert KEYS["AWS_SECRET_ACCESS_KEY"] not in instance.log.read_text()


def test_a_service_and_its_network_each_get_the_record_and_a_deleted_subscription_none(tmp_path, destination):
    with Instance(tmp_path, *flags(destination), environment=KEYS) as instance:
        world = World(instance)
        mine, theirs = destination.bucket(), destination.bucket()
        gone = world.subscribe(world.service, f"arn:aws:s3:::{mine}")
        world.subscribe(world.network, f"arn:aws:s3:::{theirs}", serviceNetworkLogType="SERVICE")
        world.call("both")
        eventually(lambda: ids(destination.delivered(mine)) == ids(destination.delivered(theirs)) == ["both"],
                   what="the record in both buckets")
        instance.lattice.delete_access_log_subscription(accessLogSubscriptionIdentifier=gone)
        eventually(lambda: gone not in metrics(instance), what="the delivery forgetting")
        world.call("one")
        eventually(lambda: ids(destination.delivered(theirs)) == ["both", "one"], what="the second record")
        assert ids(destination.delivered(mine)) == ["both"]
        eventually(lambda: not (instance.data / "spool" / gone).exists(), what="an empty spool")


def test_a_connection_to_a_resource_is_delivered_for_the_resource_and_for_the_network(tmp_path, destination):
    with Instance(tmp_path, *flags(destination), environment=KEYS) as instance:
        lattice = instance.lattice
        provider, provider_subnet = instance.vpc()
        consumer, consumer_subnet = instance.vpc()
        instance.web(provider_subnet, "10.0.1.10", "resource")
        client = instance.host(consumer_subnet)
        gateway = lattice.create_resource_gateway(
            name=unique("gateway"), vpcIdentifier=provider, subnetIds=[provider_subnet])["id"]
        instance.active(lambda: lattice.get_resource_gateway(resourceGatewayIdentifier=gateway))
        resource = lattice.create_resource_configuration(
            name=unique("web"), type="SINGLE", portRanges=["8080"], resourceGatewayIdentifier=gateway,
            resourceConfigurationDefinition={"ipResource": {"ipAddress": "10.0.1.10"}})["id"]
        instance.active(lambda: lattice.get_resource_configuration(resourceConfigurationIdentifier=resource))
        network = instance.network([consumer])
        association = {"serviceNetworkResourceAssociationIdentifier": lattice.create_service_network_resource_association(
            resourceConfigurationIdentifier=resource, serviceNetworkIdentifier=network)["id"]}
        instance.active(lambda: lattice.get_service_network_resource_association(**association))
        name = lattice.get_service_network_resource_association(**association)["dnsEntry"]["domainName"]

        bucket, group = destination.bucket(), destination.group()
        subscriptions = [
            lattice.create_access_log_subscription(
                resourceIdentifier=resource, destinationArn=f"arn:aws:s3:::{bucket}")["id"],
            lattice.create_access_log_subscription(
                resourceIdentifier=network, serviceNetworkLogType="RESOURCE",
                destinationArn=f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}")["id"],
        ]
        eventually(lambda: all(made in metrics(instance) for made in subscriptions), what="the delivery knowing")
        eventually(lambda: instance.inside(client, "curl", "-sS", f"http://{name}:8080/", check=False).returncode == 0,
                   what="the resource answering")

        record = eventually(lambda: destination.delivered(bucket), what="the record in the bucket")[-1]
        assert set(record) == {
            "eventTimestamp", "serviceNetworkArn", "serviceNetworkResourceAssociationId", "vpcEndpointId",
            "sourceVpcArn", "resourceConfigurationArn", "protocol", "sourceIpPort", "destinationIpPort",
            "gatewayIpPort", "resourceIpPort"}
        assert record["resourceConfigurationArn"].endswith(resource) and record["resourceIpPort"] == "10.0.1.10:8080"
        for key in destination.objects(bucket):
            assert "/VpcLattice/ResourceAccessLogs/us-east-1/" in key
            assert f"/{resource}/{ACCOUNT}_VpcLatticeResourceAccessLogs_us-east-1_{resource}_" in key
        stream, event = eventually(lambda: destination.events(group), what="the event")[-1]
        assert stream == f"{ACCOUNT}_VpcLatticeResourceAccessLogs_us-east-1_{network}"
        assert json.loads(event["message"])["serviceNetworkArn"].endswith(network)


def test_a_destination_that_is_away_loses_nothing_and_stops_no_traffic(tmp_path, destination):
    with Instance(tmp_path, *flags(destination), environment=KEYS) as instance:
        world = World(instance)
        bucket, group = destination.bucket(), destination.group()
        s3 = world.subscribe(world.service, f"arn:aws:s3:::{bucket}")
        logs = world.subscribe(world.service, f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}")
        destination.stop()
        names = sorted(f"request-{number:03}" for number in range(60))
        world.call_many(names)
        for subscription in (s3, logs):
            eventually(lambda: metric(instance, "trellis_log_delivery_failing", subscription) == 1, what="a failure")
            eventually(lambda: spooled(instance, subscription).count("\n") == 60, what="every record in the spool")
        assert f"access logs are not delivered, will go on trying subscription={s3}" in instance.log.read_text()
        destination.start()
        eventually(lambda: ids(destination.delivered(bucket)) == names, 60, what="every record in the bucket")
        eventually(lambda: ids(json.loads(event["message"]) for _, event in destination.events(group)) == names, 60,
                   what="every record in the log group")
        for subscription in (s3, logs):
            eventually(lambda: metric(instance, "trellis_log_spool_bytes", subscription) == 0, what="an empty spool")
            assert metric(instance, "trellis_log_delivery_failing", subscription) == 0
            assert metric(instance, "trellis_log_records_total", subscription, ',outcome="delivered"') == 60


def test_a_killed_process_loses_nothing_that_was_in_the_spool(tmp_path, destination):
    with Instance(tmp_path, *flags(destination, 3600), environment=KEYS) as instance:
        world = World(instance)
        bucket, group = destination.bucket(), destination.group()
        s3 = world.subscribe(world.service, f"arn:aws:s3:::{bucket}")
        logs = world.subscribe(world.network, f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:{group}")
        names = sorted(f"request-{number:03}" for number in range(40))
        world.call_many(names)
        for subscription in (s3, logs):
            eventually(lambda: spooled(instance, subscription).count("\n") == 40, what="every record in the spool")
        assert destination.delivered(bucket) == []
        instance.restart()
        eventually(lambda: ids(destination.delivered(bucket)) == names, what="every record in the bucket")
        eventually(lambda: ids(json.loads(event["message"]) for _, event in destination.events(group)) == names,
                   what="every record in the log group")
        eventually(lambda: spooled(instance, s3) == spooled(instance, logs) == "", what="an empty spool")


def test_a_stopped_process_delivers_what_it_has_gathered(tmp_path, destination):
    with Instance(tmp_path, *flags(destination, 3600), environment=KEYS) as instance:
        world = World(instance)
        bucket = destination.bucket()
        world.subscribe(world.service, f"arn:aws:s3:::{bucket}")
        world.call("last words")
        assert instance.stop() == 0
        assert ids(destination.delivered(bucket)) == ["last words"]


def test_a_missing_destination_is_named_and_an_updated_one_gets_what_waited(tmp_path, destination):
    with Instance(tmp_path, *flags(destination), environment=KEYS) as instance:
        world = World(instance)
        made = world.subscribe(world.service, "arn:aws:s3:::there-is-no-such-bucket")
        world.call("waits")
        eventually(lambda: "NoSuchBucket" in instance.log.read_text(), what="the reason in the log")
        assert metric(instance, "trellis_log_delivery_failing", made) == 1
        bucket = destination.bucket()
        instance.lattice.update_access_log_subscription(
            accessLogSubscriptionIdentifier=made, destinationArn=f"arn:aws:s3:::{bucket}")
        eventually(lambda: ids(destination.delivered(bucket)) == ["waits"], what="the record in the other bucket")


def test_a_destination_behind_tls_gets_records_once_its_certificate_is_trusted(tmp_path, destination, tls_door):
    url, certificate = tls_door
    with Instance(tmp_path, f"--log-endpoint=s3={url}", "--log-interval=s3=1", environment=KEYS) as instance:
        world = World(instance)
        bucket = destination.bucket()
        world.subscribe(world.service, f"arn:aws:s3:::{bucket}")
        world.call("sealed")
        eventually(lambda: re.search("not delivered.*certificate", instance.log.read_text()), what="the refusal")
        assert destination.delivered(bucket) == []
        instance.environment["SSL_CERT_FILE"] = str(certificate)
        instance.restart()
        eventually(lambda: ids(destination.delivered(bucket)) == ["sealed"], what="the record in the bucket")


class Machine(BaseHTTPRequestHandler):
    """A bucket, a container's agent, an instance's metadata and an STS: each source hands out keys of its own name."""

    protocol_version = "HTTP/1.1"
    signed, asked = [], []

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def keys(self, name):
        return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": name, "SecretAccessKey": "s",
                           "Token": "t", "Expiration": "2099-01-01T00:00:00Z",
                           "LastUpdated": "2026-01-01T00:00:00Z"}).encode()

    def do_GET(self):
        role = "/latest/meta-data/iam/security-credentials"
        if self.path == "/agent" and self.headers["authorization"] == "let me in":
            self.answer(200, self.keys("ASIAAGENT"))
        elif self.path.startswith("/latest/") and self.headers["x-aws-ec2-metadata-token"] != "session":
            self.answer(401)
        elif self.path.rstrip("/") in (role, f"{role}-extended"):
            self.answer(200, b"role")
        elif self.path in (f"{role}/role", f"{role}-extended/role"):
            self.answer(200, self.keys("ASIAINSTANCE"))
        else:
            self.answer(404)

    def do_PUT(self):
        self.body()
        if self.path == "/latest/api/token":
            self.send_response(200)
            self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
            self.send_header("content-length", "7")
            self.end_headers()
            self.wfile.write(b"session")
            return
        self.signed.append((re.search("Credential=([A-Z]+)/", self.headers["authorization"])[1], self.path))
        self.answer(200)

    def do_POST(self):
        self.asked.append(urllib.parse.parse_qs(self.body().decode()))
        keys = ("<AccessKeyId>ASIAWEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
                "<SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>")
        name = self.asked[-1]["Action"][0]
        self.answer(200, (f'<{name}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{name}Result>'
                          f"<Credentials>{keys}</Credentials></{name}Result></{name}Response>").encode())

    def log_message(self, *_):
        pass


def environment_of(source, directory, url):
    """What a machine has around it that hands out keys by `source` alone."""
    home = directory / "home"
    (home / ".aws").mkdir(parents=True)
    (home / "token").write_text("a.b+c")
    (home / ".aws" / "credentials").write_text(
        "[two]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = a=b\n")
    keys = {"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "s"}
    (home / "keys.json").write_text(json.dumps(keys))
    (home / ".aws" / "config").write_text(f"[profile three]\ncredential_process = cat {home}/keys.json\n")
    nothing = {"HOME": str(home), "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "",
               "AWS_PROFILE": "none", "AWS_EC2_METADATA_DISABLED": "true"}
    return nothing | {
        "environment": {"AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "s"},
        "profile": {"AWS_PROFILE": "two"},
        "process": {"AWS_PROFILE": "three"},
        "web identity": {"AWS_WEB_IDENTITY_TOKEN_FILE": str(home / "token"), "AWS_PROFILE": "",
                         "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/r", "AWS_ENDPOINT_URL_STS": url},
        "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{url}/agent", "AWS_PROFILE": "",
                      "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let me in"},
        "instance": {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
                     "AWS_PROFILE": ""},
        "none": {},
    }[source]


@pytest.mark.parametrize("source, key", [
    ("environment", "AKIAENVIRONMENT"), ("profile", "AKIAPROFILE"), ("process", "AKIAPROCESS"),
    ("web identity", "ASIAWEB"), ("container", "ASIAAGENT"), ("instance", "ASIAINSTANCE"), ("none", None)])
def test_keys_come_from_each_place_the_sdk_looks_at(tmp_path, source, key):
    seen = type("Seen", (Machine,), {"signed": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), seen)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    environment = environment_of(source, tmp_path, url)
    try:
        with Instance(tmp_path, f"--log-endpoint=s3={url}", "--log-interval=s3=1",
                      environment=environment) as instance:
            world = World(instance)
            world.subscribe(world.service, "arn:aws:s3:::some-logs")
            world.call("signed")
            if key is None:
                eventually(lambda: "no credentials: set AWS_ACCESS_KEY_ID" in instance.log.read_text(),
                           what="what to do in the log")
                assert seen.signed == []
                return
            [(found, path), *_] = eventually(lambda: seen.signed, what="a signed call")
            assert found == key and path.startswith("/some-logs/AWSLogs/")
            if source == "web identity":
                assert seen.asked[0]["Action"] == ["AssumeRoleWithWebIdentity"]
                assert seen.asked[0]["WebIdentityToken"] == ["a.b+c"]
    finally:
        server.shutdown()


def test_without_an_endpoint_each_subscription_has_a_local_file(own):
    world = World(own)
    made = world.subscribe(world.service, "arn:aws:s3:::anywhere")
    world.call("local")
    path = own.data / "access-logs" / f"{made}.log"
    eventually(lambda: path.exists() and path.read_text().endswith("}\n"), what="the local file")
    [record] = [json.loads(line) for line in path.read_text().splitlines()]
    assert record["requestId"] == "local" and set(record) == FIELDS

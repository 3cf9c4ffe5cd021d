"""Credentials of a host, as the endpoints of containers and instances give them, on loopback.

Usage: credential_server.py PORT ACCESS_KEY_ID SECRET_ACCESS_KEY SESSION_TOKEN

/v1/credentials           what AWS_CONTAINER_CREDENTIALS_FULL_URI leads to; wants the authorization token `open sesame`
/latest/...               what AWS_EC2_METADATA_SERVICE_ENDPOINT leads to, IMDSv2 alone
POST /                    STS, as far as AssumeRoleWithWebIdentity with the token `open sesame`
"""

import datetime
import http.server
import json
import sys
import urllib.parse

PORT, ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN = sys.argv[1:]
IMDS_TOKEN = "a-token-of-imds"


ASSUMED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>
<SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></AssumeRoleWithWebIdentityResponse>"""


def expiration():
    in_an_hour = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    return in_an_hour.strftime("%Y-%m-%dT%H:%M:%SZ")


def credentials(**more):
    return json.dumps({"AccessKeyId": ACCESS_KEY_ID, "SecretAccessKey": SECRET_ACCESS_KEY, "Token": SESSION_TOKEN,
                       "Expiration": expiration(), **more})


class Endpoint(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text="", **headers):
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        ttl = self.headers.get("x-aws-ec2-metadata-token-ttl-seconds")
        if self.path == "/latest/api/token" and ttl:
            self.answer(200, IMDS_TOKEN, **{"x-aws-ec2-metadata-token-ttl-seconds": ttl})
        else:
            self.answer(400)

    def do_GET(self):
        if self.path == "/v1/credentials":
            if self.headers.get("Authorization") == "open sesame":
                self.answer(200, credentials())
            else:
                self.answer(401, "no authorization token")
        elif self.headers.get("x-aws-ec2-metadata-token") != IMDS_TOKEN:
            self.answer(401)
        elif self.path.rstrip("/").endswith(("/iam/security-credentials", "/iam/security-credentials-extended")):
            self.answer(200, "app")
        elif self.path.startswith("/latest/meta-data/iam/security-credentials"):
            self.answer(200, credentials(Code="Success", Type="AWS-HMAC", LastUpdated="2026-01-01T00:00:00Z"))
        else:
            self.answer(404)

    def do_POST(self):
        asked = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if asked["Action"] == ["AssumeRoleWithWebIdentity"] and asked["WebIdentityToken"] == ["open sesame"]:
            self.answer(200, ASSUMED.format(ACCESS_KEY_ID, SECRET_ACCESS_KEY, SESSION_TOKEN, expiration()))
        else:
            self.answer(400)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(PORT)), Endpoint).serve_forever()

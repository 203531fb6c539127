"""An agent and a relying party, by libraries that know nothing of kya.

Arguments: the issuer, the id of an agent, its private key as a JWK. Fails with what is
wrong, or prints `ok`.
"""

import json
import sys
import time

import requests
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

issuer, agent, private = sys.argv[1:4]
TIMEOUT = 20

# What there is (RFC 8414): found by the issuer alone.
metadata = requests.get(get_well_known_url(issuer, external=True), timeout=TIMEOUT).json()
assert metadata["issuer"] == issuer, metadata
server = AuthorizationServerMetadata(metadata)
server.validate_issuer()
server.validate_token_endpoint()
server.validate_jwks_uri()
server.validate_grant_types_supported()
server.validate_token_endpoint_auth_methods_supported()
server.validate_token_endpoint_auth_signing_alg_values_supported()
server.validate_introspection_endpoint()
server.validate_revocation_endpoint()

# The agent gets a token by its key (RFC 7523).
token_endpoint = metadata["token_endpoint"]
session = OAuth2Session(
    client_id=agent,
    client_secret=OKPKey.import_key(json.loads(private)),
    token_endpoint_auth_method="private_key_jwt",
    revocation_endpoint_auth_method="private_key_jwt",
    scope="pay read",
)
session.register_client_auth_method(PrivateKeyJWT(token_endpoint, alg="EdDSA"))
token = session.fetch_token(
    token_endpoint, grant_type="client_credentials", audience="shop", timeout=TIMEOUT
)
assert token["token_type"] == "Bearer" and token["scope"] == "pay read", token

# The relying party verifies it (RFC 9068) by the published keys.
keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=TIMEOUT).json())
verified = jwt.decode(token["access_token"], keys, algorithms=["Ed25519", "EdDSA"])
assert verified.header["typ"] == "at+jwt", verified.header
rules = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": issuer},
    sub={"essential": True, "value": agent},
    aud={"essential": True, "value": "shop"},
    exp={"essential": True},
    jti={"essential": True},
)
rules.validate(verified.claims)

# It counts until it is given back (RFC 7662, RFC 7009).
def introspected():
    answer = session.introspect_token(
        metadata["introspection_endpoint"], token["access_token"], timeout=TIMEOUT
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


told = introspected()
assert told["active"] is True and told["client_id"] == agent, told
answer = session.revoke_token(
    metadata["revocation_endpoint"], token["access_token"], timeout=TIMEOUT
)
assert answer.status_code == 200, answer.text
assert introspected() == {"active": False}

# An assertion that somebody has seen pass by is of no use.
key = OKPKey.import_key(json.loads(private))
now = int(time.time())
claims = {"iss": agent, "sub": agent, "aud": token_endpoint, "jti": "once", "exp": now + 60}
assertion = jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"])
form = {
    "grant_type": "client_credentials",
    "audience": "shop",
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": assertion,
}
first = requests.post(token_endpoint, data=form, timeout=TIMEOUT)
assert first.status_code == 200, first.text
again = requests.post(token_endpoint, data=form, timeout=TIMEOUT)
assert again.status_code == 401 and again.json()["error"] == "invalid_client", again.text

# Errors are those that the library knows.
try:
    session.fetch_token(token_endpoint, grant_type="client_credentials", timeout=TIMEOUT)
    raise AssertionError("a token for no service")
except OAuthError as error:
    assert error.error == "invalid_target", error

print("ok")

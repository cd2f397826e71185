//! Tokens and key sets: every algorithm that is accepted, and what is not. RSA's tokens were signed by OpenSSL.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use serde_json::json;

use super::*;
use crate::model::CredentialCheck;

const RSA: &str = include_str!("../../../testdata/jwt/rsa.json");
const NOW: Instant = Instant(1_800_000_000_000_000);

fn issuer(algorithms: &[&str]) -> Issuer {
    Issuer {
        issuer: "https://idp.acme.example".into(),
        audience: "rolecall".into(),
        algorithms: algorithms.iter().map(|word| (*word).to_owned()).collect(),
        jwks_uri: None,
        clock_skew_seconds: 0,
        subject: None,
        claims: std::collections::BTreeMap::new(),
    }
}

fn all() -> Vec<&'static str> {
    Algorithm::ALL.iter().map(|algorithm| algorithm.word()).collect()
}

fn check(token: &str, keys: &Value, algorithms: &[&str]) -> Result<(), Refused> {
    Token::read(token)?.check(&issuer(algorithms), &KeySet::read(&keys.to_string())?, NOW)
}

fn signed(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let claims = json!({"iss": "https://idp.acme.example", "aud": "rolecall", "exp": 4_102_444_800_i64});
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = BASE64.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[test]
fn rsa_in_every_form_and_no_short_keys() {
    let rsa: Value = serde_json::from_str(RSA).unwrap();
    for word in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = rsa["tokens"][word].as_str().unwrap();
        assert_eq!(check(token, &rsa, &all()), Ok(()), "{word}");
        assert_eq!(check(token, &rsa, &["ES256"]), Err(Refused::Algorithm), "{word}");
        // Another algorithm's signature is none, whatever the header says.
        let header = BASE64.encode(json!({"alg": if word == "RS256" { "PS256" } else { "RS256" }, "kid": "rsa"}).to_string());
        let other = format!("{header}.{}", token.split_once('.').unwrap().1);
        assert_eq!(check(&other, &rsa, &all()), Err(Refused::Signature), "{word}");
    }
    assert_eq!(check(rsa["short"].as_str().unwrap(), &rsa, &all()), Err(Refused::Signature), "a key of 1,024 bits");
    let bound = json!({"keys": [{"kty": "RSA", "kid": "rsa", "alg": "RS512", "n": rsa["keys"][0]["n"], "e": "AQAB"}]});
    assert_eq!(check(rsa["tokens"]["RS512"].as_str().unwrap(), &bound, &all()), Ok(()));
    assert_eq!(check(rsa["tokens"]["RS256"].as_str().unwrap(), &bound, &all()), Err(Refused::UnknownKey), "the key is for RS512");
}

#[test]
fn elliptic_curves_with_keys_that_are_for_signatures() {
    let random = SystemRandom::new();
    let ed = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
    let stored = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random).unwrap();
    let p384 = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, stored.as_ref(), &random).unwrap();
    let point = p384.public_key().as_ref();
    let ed_key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": BASE64.encode(ed.public_key())});
    let p384_key = json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": BASE64.encode(&point[1..49]), "y": BASE64.encode(&point[49..])});
    let keys = json!({"keys": [{"kty": "new", "kid": "ed"}, 7, ed_key, p384_key]});
    let by_ed = signed(&json!({"alg": "EdDSA", "kid": "ed"}), |message| ed.sign(message).as_ref().to_vec());
    let by_p384 = signed(&json!({"alg": "ES384", "kid": "p384"}), |message| p384.sign(&random, message).unwrap().as_ref().to_vec());
    assert_eq!(check(&by_ed, &keys, &all()), Ok(()));
    assert_eq!(check(&by_p384, &keys, &all()), Ok(()));
    for (name, value) in [("use", json!("enc")), ("key_ops", json!(["sign"])), ("alg", json!("ES256K")), ("x", json!("AAAA"))] {
        let mut key = ed_key.clone();
        key[name] = value;
        assert_eq!(check(&by_ed, &json!({"keys": [key, p384_key]}), &all()), Err(Refused::UnknownKey), "{name}");
    }
    let strange = signed(&json!({"alg": "EdDSA"}), |message| ed.sign(&message[1..]).as_ref().to_vec());
    assert_eq!(check(&strange, &keys, &all()), Err(Refused::UnknownKey), "it names no key: there may be another");
}

#[test]
fn what_has_no_name_is_no_algorithm() {
    for word in ["none", "None", "HS256", "HS384", "HS512", "ES512", "rs256", ""] {
        let token = signed(&json!({"alg": word}), |_| Vec::new());
        assert_eq!(Token::read(&token).err(), Some(Refused::Algorithm), "{word}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let header = BASE64.encode(r#"{"alg":"RS256"}"#);
    let long = format!("{header}.e30.{}", "A".repeat(JWT_BYTES_LIMIT));
    for token in ["", ".", "..", "a.b.c", &header, &format!("{header}.e30"), &format!("{header}.W10.AA"), &format!("{header}.e30.*"), &long]
    {
        assert_eq!(Token::read(token).err(), Some(Refused::Malformed), "{token}");
    }
    assert!(Token::is_meant(&format!("{header}.e30.AA")));
    assert!(!Token::is_meant("rc_x") && !Token::is_meant("eyJ.x") && !Token::is_meant("a.b.c"));
    let spaced = BASE64.encode("\n { \"alg\": \"RS256\"}");
    assert!(Token::is_meant(&format!("{spaced}.e30.AA")));
    let critical = BASE64.encode(r#"{"alg":"RS256","crit":null}"#);
    assert_eq!(Token::read(&format!("{critical}.e30.AA")).err(), Some(Refused::Malformed));
}

#[test]
fn what_is_no_key_set_is_refused() {
    let many: Vec<Value> = (0..KEYS_LIMIT)
        .map(|_| json!({"kty": "oct"}))
        .chain([json!({"kty": "OKP", "crv": "Ed25519", "x": BASE64.encode([1; 32])})])
        .collect();
    let large = format!("{{\"keys\": [], \"x\": \"{}\"}}", "x".repeat(KEY_SET_BYTES_LIMIT));
    for text in ["", "[]", "{}", r#"{"keys": {}}"#, &large] {
        assert_eq!(KeySet::read(text).err(), Some(Refused::KeySet));
    }
    for none in [r#"{"keys": []}"#, &json!({"keys": many}).to_string()] {
        let read = KeySet::read(none).unwrap();
        assert!(read.is_empty() && !read.fits(&all()), "an issuer may withdraw its last key");
    }
}

#[test]
fn keys_that_nobody_should_set_are_found_by_their_place() {
    let rsa: Value = serde_json::from_str(RSA).unwrap();
    let (good, short) = (&rsa["keys"][0], &rsa["keys"][1]);
    let unfit = |keys: Value| KeySet::unfit(&json!({"keys": keys})).map(|unfit| (unfit.position, unfit.id, unfit.why));
    assert_eq!(unfit(json!([good, {"kty": "new"}, 7])), None);
    assert_eq!(unfit(json!([good, short])), Some((2, Some("short".into()), Unfit::Length)));
    let long = json!({"kty": "RSA", "n": BASE64.encode([0xff; 1_025]), "e": "AQAB"});
    assert_eq!(unfit(json!([long])), Some((1, None, Unfit::Length)));
    // What is passed over is not judged, unless it is a secret.
    let mut other = short.clone();
    other["use"] = json!("enc");
    assert_eq!(unfit(json!([other, good])), None);
    for name in PRIVATE_MEMBERS {
        let mut key = good.clone();
        key[name] = json!("AAAA");
        assert_eq!(unfit(json!([other, key])), Some((2, Some("rsa".into()), Unfit::Private)), "{name}");
    }
    assert_eq!(unfit(json!([{"kty": "oct", "k": null}])), Some((1, None, Unfit::Private)));
    assert_eq!(KeySet::unfit(&json!([short])), None, "it is no key set");
}

#[test]
fn times_of_no_calendar_are_shown_as_they_came() {
    let seen = |claims: Value| -> Vec<String> {
        let header = BASE64.encode(r#"{"alg":"RS256"}"#);
        let token = format!("{header}.{}.AA", BASE64.encode(claims.to_string()));
        let times = checks(&token, &issuer(&all()), None, NOW).into_iter();
        let times = times.filter(|one| matches!(one.check, CredentialCheck::Expiry | CredentialCheck::Beginning));
        times.map(|one| one.received.unwrap()).collect()
    };
    assert_eq!(seen(json!({"exp": 1_799_999_999, "iat": 1_800_000_001})), ["2027-01-15T07:59:59.000Z", "iat 2027-01-15T08:00:01.000Z"]);
    let millis = seen(json!({"exp": 1_800_000_600_000_i64, "nbf": 1_800_000_000_000_i64}));
    assert_eq!(
        millis,
        [
            "1800000600000, which looks like milliseconds (2027-01-15T08:10:00.000Z): it has to be in seconds",
            "nbf 1800000000000, which looks like milliseconds (2027-01-15T08:00:00.000Z): it has to be in seconds",
        ]
    );
    assert_eq!(seen(json!({"exp": -1_000_000_000_000_000_000_i64, "iat": 1e18})), ["-1000000000000000000", "iat 1e+18"]);
}

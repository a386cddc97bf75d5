//! Entra's token endpoint: client credentials by secret or by certificate.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use ring::rand::SecureRandom;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use ring::signature::UnparsedPublicKey;
use serde_json::Value;
use serde_json::json;

use super::certificate;
use super::directory::Workspace;
use super::encoding;
use super::encoding::form_field;
use super::place::Asked;
use super::place::Reply;
use super::state::State;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const LONGEST_ASSERTION: i64 = 24 * 3600;

/// What was given to whom.
pub(super) struct Tokens {
    pub(super) life: Duration,
    given: HashMap<String, Token>,
    assertions: HashSet<String>,
}

struct Token {
    tenant: String,
    client: String,
    until: SystemTime,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { life: Duration::from_secs(3599), given: HashMap::new(), assertions: HashSet::new() }
    }
}

impl Tokens {
    /// Returns the tenant and the application of a token that is valid now.
    pub(super) fn holder(&self, token: &str, now: SystemTime) -> Option<(&str, &str)> {
        let token = self.given.get(token).filter(|token| now < token.until)?;
        Some((&token.tenant, &token.client))
    }

    pub(super) fn revoke(&mut self) {
        self.given.clear();
    }

    pub(super) fn give(&mut self, tenant: &str, client: &str, now: SystemTime) -> String {
        let mut random = [0; 48];
        SystemRandom::new().fill(&mut random).expect("random bytes");
        let text = format!("eyJ.{}", encoding::hexadecimal(&random));
        let token = Token { tenant: tenant.to_owned(), client: client.to_owned(), until: now + self.life };
        self.given.insert(text.clone(), token);
        text
    }
}

/// Answers `/{tenant}/oauth2/v2.0/token`.
pub(super) fn give(state: &mut State, number: u64, asked: &Asked) -> Reply {
    let tenant = asked.path.split('/').nth(1).unwrap_or_default();
    match check(state, asked, tenant) {
        Ok(client) => {
            let token = state.tokens.give(tenant, &client, asked.now);
            let life = state.tokens.life.as_secs();
            let answer = json!({
                "token_type": "Bearer", "expires_in": life, "ext_expires_in": life, "access_token": token
            });
            Reply::json(200, &answer)
        }
        Err((status, error, text)) => {
            state.ledger.problem(number, text.clone());
            Reply::json(status, &json!({ "error": error, "error_description": text }))
        }
    }
}

type Wrong = (u16, &'static str, String);

fn check(state: &mut State, asked: &Asked, tenant: &str) -> Result<String, Wrong> {
    let request = |text: &str| (400, "invalid_request", text.to_owned());
    if asked.header("content-type").is_none_or(|kind| !kind.starts_with("application/x-www-form-urlencoded"))
    {
        return Err(request("AADSTS900144: the body is no form"));
    }
    let form = std::str::from_utf8(&asked.body).map_err(|_| request("the form is not in UTF-8"))?;
    let field = |name: &str| form_field(form, name);
    if field("grant_type").as_deref() != Some("client_credentials") {
        return Err((400, "unsupported_grant_type", "AADSTS70003: grant_type is another".to_owned()));
    }
    let client = field("client_id").ok_or(request("AADSTS900144: there is no client_id"))?;
    let of_client = |known: &&Workspace| known.client == client && known.tenant == tenant;
    let known = state.workspaces.iter().find(of_client).cloned();
    let text = format!("AADSTS700016: application {client} is not in directory {tenant}");
    let known = known.ok_or((400, "unauthorized_client", text))?;
    if field("scope").as_deref() != Some(known.scope().as_str()) {
        return Err((400, "invalid_scope", format!("AADSTS70011: the scope is {:?}", field("scope"))));
    }
    match (field("client_secret"), field("client_assertion")) {
        (Some(secret), None) if secret == known.secret => Ok(client),
        (None, Some(assertion)) if field("client_assertion_type").as_deref() == Some(ASSERTION) => {
            verify(state, &known, &assertion, asked.now).map_err(|text| (401, "invalid_client", text))?;
            Ok(client)
        }
        (Some(_), None) => Err((401, "invalid_client", "AADSTS7000215: the secret is wrong".to_owned())),
        _ => Err((401, "invalid_client", "AADSTS7000216: there is not one credential".to_owned())),
    }
}

/// Checks a JWT as Entra does: signature by the registered certificate, audience, issuer, times, one use.
fn verify(state: &mut State, known: &Workspace, assertion: &str, now: SystemTime) -> Result<(), String> {
    let wrong = |text: &str| format!("AADSTS700027: the assertion is wrong: {text}");
    let registered = known.certificate.as_deref().ok_or(wrong("no certificate is registered"))?;
    let (signed, signature) = assertion.rsplit_once('.').ok_or(wrong("it has no dots"))?;
    let (header, claims) = signed.split_once('.').ok_or(wrong("it has one dot"))?;
    let parsed = |text: &str| {
        let bytes = encoding::from_base64_url(text)?;
        serde_json::from_slice::<Value>(&bytes).ok()
    };
    let header = parsed(header).ok_or(wrong("its header is no JSON"))?;
    let claims = parsed(claims).ok_or(wrong("its claims are no JSON"))?;
    if header["alg"] != "RS256" || header["typ"] != "JWT" {
        return Err(wrong("it is not of RS256"));
    }
    let [sha1, sha256] = certificate::thumbprints(registered);
    let named = |name: &str| header[name].as_str().and_then(encoding::from_base64_url);
    if named("x5t") != Some(sha1) && named("x5t#S256") != Some(sha256) {
        return Err(wrong("it names another certificate"));
    }
    let read = certificate::Read::der(registered)?;
    let signature = encoding::from_base64_url(signature).ok_or(wrong("its signature is not in base64url"))?;
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &read.public_key)
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| wrong("its signature is another key's"))?;
    let audience = format!("https://{}/{}/oauth2/v2.0/token", known.login(), known.tenant);
    if claims["aud"] != audience.as_str() || claims["iss"] != known.client || claims["sub"] != known.client {
        return Err(wrong("aud, iss or sub is another"));
    }
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    let time = |name: &str| claims[name].as_i64().ok_or(wrong("a time is missing"));
    let (from, until) = (time("nbf")?, time("exp")?);
    if from > now + 300 || until <= now || until - from > LONGEST_ASSERTION {
        return Err(wrong("it is not valid now"));
    }
    let id = claims["jti"].as_str().ok_or(wrong("it has no jti"))?;
    match state.tokens.assertions.insert(id.to_owned()) {
        true => Ok(()),
        false => Err(wrong("it was used before")),
    }
}

//! The first calls at the door.

use super::LIST_PROJECTS;
use crate::{
    cli::demo::{
        door::{Answer, Bearer, Call},
        seen::{StepError, expect},
        stage::{Stage, command, say},
    },
    token::Token,
};

/// A call that no key of the walk allows.
const CHAT: Call = Call { method: "POST", path: "/v1/chat/completions", project: None };

const INVENTED: &str = "lk_mk_000000000000_invented";

/// Takes the token of `console` and shows what it opens.
pub(super) async fn call(stage: &Stage) -> Result<Bearer, StepError> {
    say("\nThe token is in a Secret of the key's name.");
    let token = stage.take_token("TOKEN", "console", "token").await?;
    say(
        "\nA gateway asks the door before it lets a call through. This key allows /management/**, so the call\n\
         passes, and the headers tell the upstream whose key it is.",
    );
    tells_whose_key_it_is(&stage.curl(&token, LIST_PROJECTS, "200").await?)?;
    say("\nWhat a key does not list is denied. The reason is the same in header, body and metric.");
    stage.curl(&token, CHAT, "403 EndpointNotAllowed").await?;
    say("\nAn invented token is refused before anything is looked up: its checksum is wrong.");
    command(&format!("INVENTED={INVENTED}"));
    let invented = Bearer { variable: "INVENTED", token: Token::from_existing(INVENTED.to_owned()) };
    stage.curl(&invented, LIST_PROJECTS, "401 MalformedToken").await?;
    Ok(token)
}

fn tells_whose_key_it_is(answer: &Answer) -> Result<(), StepError> {
    let expected = [
        ("x-latchkey-key", "acme-prod/console"),
        ("x-latchkey-kind", "ManagementKey"),
        ("x-latchkey-organization", "acme"),
    ];
    expected.into_iter().try_for_each(|(name, value)| expect(name, value, answer.header(name)))
}

//! The first calls at the door.

use super::LIST_PROJECTS;
use crate::{
    cli::demo::{
        door::{Bearer, Call},
        seen::{StepError, expect},
        stage::{Stage, command, say},
    },
    token::Token,
};

/// A call that no key of the walk allows.
const CHAT: Call = Call {
    method: "POST",
    path: "/v1/chat/completions",
    project: None,
};

const INVENTED: &str = "lk_mk_000000000000_invented";

/// Takes the token of `console` and shows what it opens.
pub(super) async fn call(stage: &Stage) -> Result<Bearer, StepError> {
    say("\nThe token is in a Secret of the key's name.");
    let token = stage.take_token("TOKEN", "console", "token").await?;
    say("\nA gateway asks the door before it lets a call through. This key allows /management/**, so this call passes,
and the headers tell the upstream whose it is.");
    let allowed = stage.curl(&token, LIST_PROJECTS, "200").await?;
    expect(
        "header X-Latchkey-Key",
        "acme-prod/console",
        allowed.header("x-latchkey-key"),
    )?;
    expect(
        "header X-Latchkey-Kind",
        "ManagementKey",
        allowed.header("x-latchkey-kind"),
    )?;
    expect(
        "header X-Latchkey-Organization",
        "acme",
        allowed.header("x-latchkey-organization"),
    )?;
    say(
        "\nWhat the key does not list is denied, and every denial has a reason that stays the same wherever it shows.",
    );
    stage.curl(&token, CHAT, "403 EndpointNotAllowed").await?;
    say("\nAn invented token does not even reach the index: its checksum is wrong.");
    let invented = Bearer {
        variable: "INVENTED",
        token: Token::from_existing(INVENTED.to_owned()),
    };
    command(&format!("INVENTED={INVENTED}"));
    stage.curl(&invented, LIST_PROJECTS, "401 MalformedToken").await?;
    Ok(token)
}

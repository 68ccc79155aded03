//! `latchkey docs`: the pages that are made from the code.

use crate::{lifecycle::conditions, verifier::Denial};
use clap::Args;
use std::{collections::BTreeMap, fmt::Write, fs, io, path::PathBuf};

#[derive(Debug, Args)]
pub(super) struct DocsArgs {
    /// The folder to write into.
    #[arg(long, default_value = "docs")]
    out: PathBuf,
}

pub(super) fn docs(args: &DocsArgs) -> io::Result<()> {
    fs::create_dir_all(&args.out)?;
    fs::write(args.out.join("conditions.md"), conditions_page())?;
    fs::write(args.out.join("reasons.md"), reasons_page())
}

const INTRODUCTION: &str = "# Conditions

Made by `latchkey docs` from the code; names in the messages are examples.

Every kind has `Ready`. On a key, `Ready` is `True` exactly while the door accepts it, and where the state of the key is
why it is refused, the reason is the code that its callers get in `X-Latchkey-Reason`.
`Expiring`, `OrganizationResolved` and a few others are present only while there is something to say.
";

fn conditions_page() -> String {
    let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in conditions::catalogue() {
        sections.entry((entry.kinds, entry.type_)).or_default().push(entry);
    }
    let mut page = INTRODUCTION.to_owned();
    for ((kind, type_), entries) in sections {
        // Writing to a String can't fail.
        let _ = writeln!(page, "\n## {kind}: `{type_}`\n\n| status | reason | message |\n|---|---|---|");
        for entry in entries {
            let status = if entry.status { "True" } else { "False" };
            let _ = writeln!(page, "| {status} | `{}` | {} |", entry.reason.code(), entry.reason.message());
        }
    }
    page
}

const REASONS_INTRODUCTION: &str = "# Reasons

Made by `latchkey docs` from the code.

Why a call was denied, the same in the header `X-Latchkey-Reason`, in the body, and in the metric
`latchkey_decisions_total`. On `/auth/nginx` every status but 401 is sent as 403, because nginx knows no other.

| reason | status | what the caller is told |
|---|---|---|
";

fn reasons_page() -> String {
    Denial::ALL.iter().fold(REASONS_INTRODUCTION.to_owned(), |mut page, denial| {
        let _ =
            writeln!(page, "| `{}` | {} | {} |", denial.code(), denial.status().as_u16(), denial.message());
        page
    })
}

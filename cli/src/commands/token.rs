//! `paintbox token`: who else may call the daemon.

use crate::client::{ALL, Client, LARGEST_PAGE, LOCAL_DEADLINE, call, entries};
use crate::error::CliError;
use crate::exit::Exit;
use crate::render::json::{DeletedTokenJson, TokenJson};
use crate::render::table::{Align, remarked};
use crate::render::{sanitize, units};
use crate::session::Session;
use paintbox_proto::v1;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Make a token for a client and print it, this once
    Create(Create),
    /// List the clients that have a token, the oldest first
    List,
    /// Take a client's token from it
    Rm(Rm),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// What to call the client, such as "open-webui"
    label: String,
    /// What it may do; each includes those before it
    #[arg(long, value_enum, default_value_t = Scope::Generate)]
    scope: Scope,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rm {
    /// Its id, or its label where no other client has that
    #[arg(value_name = "ID|LABEL")]
    which: String,
}

/// What a client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Scope {
    /// Look at the catalogue, at jobs and at pictures
    Read,
    /// Ask for pictures
    Generate,
    /// Everything
    Admin,
}

impl From<Scope> for v1::AccessScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Read => Self::Read,
            Scope::Generate => Self::Generate,
            Scope::Admin => Self::Admin,
        }
    }
}

pub(crate) async fn run(action: &Action, session: &mut Session) -> Result<Exit, CliError> {
    let client = session.connect().await?;
    match action {
        Action::Create(create) => make(create, &client, session).await,
        Action::List => list(&client, session).await,
        Action::Rm(rm) => remove(rm, &client, session).await,
    }
}

async fn make(create: &Create, client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let scope = v1::AccessScope::from(create.scope).into();
    let asked = v1::ClientToken { label: create.label.clone(), scope, ..Default::default() };
    let request = v1::CreateClientTokenRequest { client_token: Some(asked) };
    let made = call("make a token", LOCAL_DEADLINE, client.access().create_client_token(request)).await?;
    if session.json {
        session.out.json(&TokenJson::from(&made))?;
        return Ok(Exit::Done);
    }
    let (label, scope) = (sanitize::line(&made.label), scope_name(made.scope));
    session.note(&format!("The token of {label}, which may {scope}. It is not shown again:"))?;
    session.out.line(&sanitize::line(&made.token))?;
    Ok(Exit::Done)
}

async fn list(client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let tokens = all(client).await?;
    if session.json {
        for token in &tokens {
            session.out.json(&TokenJson::from(token))?;
        }
        return Ok(Exit::Done);
    }
    if tokens.is_empty() {
        session.note("No client has a token. Programs of this user need none over the socket.")?;
        return Ok(Exit::Done);
    }
    let titles = [
        ("ID", Align::Left),
        ("LABEL", Align::Flexible),
        ("SCOPE", Align::Left),
        ("MADE", Align::Left),
        ("LAST USED", Align::Left),
    ];
    let row = |token: &v1::ClientToken| {
        let used = token.last_use_time.as_ref();
        vec![
            sanitize::line(id(&token.name)),
            sanitize::line(&token.label),
            scope_name(token.scope).to_owned(),
            units::relative(token.create_time.as_ref(), session.now),
            if used.is_some() { units::relative(used, session.now) } else { "never".to_owned() },
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    for line in remarked(&titles, &rows, session.terminal.columns) {
        session.out.line(&line)?;
    }
    Ok(Exit::Done)
}

async fn remove(rm: &Rm, client: &Client, session: &mut Session) -> Result<Exit, CliError> {
    let tokens = all(client).await?;
    let with_id = tokens.iter().find(|token| id(&token.name) == id(&rm.which));
    let with_label: Vec<_> = tokens.iter().filter(|token| token.label == rm.which).collect();
    let name = match (with_id, &with_label[..]) {
        (Some(token), _) | (None, &[token]) => token.name.clone(),
        (None, []) => {
            return Err(refuse(&rm.which, "no client has this id or label; `paintbox token list` shows them"));
        }
        (None, _) => return Err(refuse(&rm.which, "several clients have this label; name the id")),
    };
    let request = v1::DeleteClientTokenRequest { name: name.clone() };
    call("delete the token", LOCAL_DEADLINE, client.access().delete_client_token(request)).await?;
    if session.json {
        session.out.json(&DeletedTokenJson { name: &name, deleted: true })?;
    } else {
        session.say(&format!("{} may no longer call.", sanitize::line(&rm.which)))?;
    }
    Ok(Exit::Done)
}

fn refuse(given: &str, problem: &str) -> CliError {
    CliError::Argument { argument: "client", given: given.to_owned(), problem: problem.to_owned() }
}

async fn all(client: &Client) -> Result<Vec<v1::ClientToken>, CliError> {
    entries(ALL, async |page_token| {
        let request = v1::ListClientTokensRequest { page_size: LARGEST_PAGE, page_token };
        let page = call("list the clients", LOCAL_DEADLINE, client.access().list_client_tokens(request)).await?;
        Ok((page.client_tokens, page.next_page_token))
    })
    .await
}

/// `clientTokens/x` and `x` are the same.
fn id(name: &str) -> &str {
    name.strip_prefix("clientTokens/").unwrap_or(name)
}

/// As it is given to `--scope`.
pub(crate) fn scope_name(scope: i32) -> &'static str {
    match v1::AccessScope::try_from(scope) {
        Ok(v1::AccessScope::Read) => "read",
        Ok(v1::AccessScope::Generate) => "generate",
        Ok(v1::AccessScope::Admin) => "admin",
        Ok(v1::AccessScope::Unspecified) | Err(_) => "unknown",
    }
}

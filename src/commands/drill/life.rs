//! A client's whole life, step by step: first update, nothing new, an event, a task, the next update, over FTP and over HTTP.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use fwdrill_client::Limits;
use fwdrill_client::agent::{Agent, Config};
use fwdrill_client::events::{Destination, Outbox};
use fwdrill_client::plan::Plan;
use fwdrill_client::sync::{ClientName, Outcome, Server, UpdateCycle, Uploads};
use fwdrill_depot::{Depot, PublishOptions, keys, publish};
use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::event::What;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::LifeStep;
use fwdrill_protocol::task::Order;
use fwdrill_protocol::update_set::PublicKey;
use fwdrill_server::EnrolmentToken;
use fwdrill_server::store::TaskState;
use fwdrill_server::tasks::TaskDesk;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// How long each half of a task may take on loopback, and how often to look.
const TASK: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Lives it; what fails is in the steps. A step goes on where the one before left off.
pub(super) async fn live(
    plan: &Plan,
    server: &Announcement,
    tasks: Option<&TaskDesk>,
    scratch: &Path,
) -> Vec<LifeStep> {
    let mut life = Vec::new();
    let client = |mode| cycle(plan, server, scratch, mode);
    let modes = [Mode::Ftp, Mode::Http]
        .into_iter()
        .filter(|mode| *mode == Mode::Http || plan.estate.ftp.enabled);
    for mode in modes.clone() {
        life.push(
            step(format!("first update over {}", name(mode)), async {
                news(plan, &client(mode)?.run(&()).await?)
            })
            .await,
        );
    }
    let first = modes.clone().next().unwrap_or(Mode::Http);
    life.push(
        step("ask again".to_owned(), async {
            nothing_new(&client(first)?.run(&()).await?)
        })
        .await,
    );
    life.push(step("tell the server".to_owned(), tell(plan, server, scratch)).await);
    life.push(
        step(
            "a task of the server".to_owned(),
            carry_out(plan, server, tasks, scratch),
        )
        .await,
    );
    life.push(step("the server publishes the next set".to_owned(), publish_next(scratch)).await);
    for mode in modes {
        life.push(
            step(format!("next update over {}", name(mode)), async {
                incremental(plan, &client(mode)?.run(&()).await?)
            })
            .await,
        );
    }
    life
}

async fn step(step: String, work: impl Future<Output = anyhow::Result<String>>) -> LifeStep {
    let begun = Instant::now();
    let done = work.await;
    LifeStep {
        step,
        ok: done.is_ok(),
        detail: done.unwrap_or_else(|error| format!("{error:#}")),
        elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn cycle(plan: &Plan, server: &Announcement, scratch: &Path, mode: Mode) -> anyhow::Result<UpdateCycle> {
    let address = plan.target.parse().context("the drill's target is an address")?;
    let client: ClientName = format!("drill-{}", name(mode).to_lowercase()).parse()?;
    let into = scratch.join(client.to_string());
    let mut cycle = UpdateCycle::new(Server::at(address, &plan.estate), into, client).in_drill(plan.drill);
    cycle.mode = mode;
    let key = server.public_key.as_deref().context("the server has no update set")?;
    cycle.key = Some(PublicKey::parse(key)?);
    Ok(cycle)
}

/// An event, which the server has to store.
async fn tell(plan: &Plan, server: &Announcement, scratch: &Path) -> anyhow::Result<String> {
    let address = server
        .addresses
        .get(&Flow::Events)
        .context("the server has no events port")?;
    let outbox = Outbox::open(scratch.join("events"), "drill".parse()?).await?;
    let started = What::Started {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        role: "drill".to_owned(),
    };
    outbox.note(started).await;
    let mut to = Destination::new(&plan.target, vec![*address]);
    to.drill = Some(plan.drill);
    let delivered = outbox.deliver(&to, &Limits::default()).await?;
    ensure!(delivered.taken == 1, "the server took {} events of 1", delivered.taken);
    Ok("the server has stored an event".to_owned())
}

/// A task, which the server posts to an agent, and of which it hears.
async fn carry_out(
    plan: &Plan,
    server: &Announcement,
    tasks: Option<&TaskDesk>,
    scratch: &Path,
) -> anyhow::Result<String> {
    let tasks = tasks.context("the server has no tasks to give")?;
    let mut estate = plan.estate.clone();
    let token = EnrolmentToken::open(&estate, &scratch.join("server"))?;
    estate.agent.token = Some(token.reveal().to_owned());
    let name: ClientName = "drill-agent".parse()?;
    let mut config = Config::new(&plan.target, estate, scratch.join("agent"), name.clone());
    let key = server.public_key.as_deref().context("the server has no update set")?;
    config.key = Some(PublicKey::parse(key)?);
    // The server beside it has the estate's ports.
    config.listen.set_port(0);
    config.self_events.set_port(0);
    let agent = Agent::bind(config).await?;
    let stop = CancellationToken::new();
    // It ends with this step, however that ends.
    let _stopped = stop.clone().drop_guard();
    tokio::select! {
        () = agent.run(stop) => bail!("the agent ended by itself"),
        done = given_and_done(tasks, &name) => done,
    }
}

/// Gives an agent a task as soon as it is known, and waits for what comes of it.
async fn given_and_done(tasks: &TaskDesk, name: &ClientName) -> anyhow::Result<String> {
    let given = within(async || Ok(tasks.give(Order::Sync, Some(name.clone())).await?.into_iter().next()));
    let given = given.await.context("the agent did not check in")?;
    let way = given.detail;
    let done = within(async || {
        let row = tasks.task(given.task.id).await?;
        Ok(row.filter(|row| matches!(row.state, TaskState::Done | TaskState::Failed)))
    });
    let done = done.await.context("nothing was heard of the task")?;
    ensure!(done.state == TaskState::Done, "{}", done.detail);
    Ok(format!("{}: {}, {way}: {}", given.task.order, name, done.detail))
}

/// Asks until there is an answer, for a few seconds.
async fn within<T>(ask: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let asked = async {
        loop {
            match ask().await? {
                Some(answer) => return Ok(answer),
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    tokio::time::timeout(TASK, asked).await.context("it took too long")?
}

fn news(plan: &Plan, outcome: &Outcome) -> anyhow::Result<String> {
    ensure!(outcome.installed.is_some(), "nothing was installed: {}", outcome);
    if let (true, Uploads::NoWay(reason)) = (plan.estate.ftp.enabled, &outcome.uploads) {
        bail!("nothing could be uploaded: {reason}");
    }
    Ok(outcome.to_string())
}

fn nothing_new(outcome: &Outcome) -> anyhow::Result<String> {
    ensure!(
        outcome.installed.is_none(),
        "something was installed although nothing is new: {}",
        outcome
    );
    Ok(outcome.to_string())
}

fn incremental(plan: &Plan, outcome: &Outcome) -> anyhow::Result<String> {
    ensure!(
        outcome.installed.is_some_and(|tally| tally.built + tally.reused > 0),
        "everything was downloaded again: {}",
        outcome
    );
    news(plan, outcome)
}

async fn publish_next(scratch: &Path) -> anyhow::Result<String> {
    let (depot, state) = (scratch.join("depot"), scratch.join("server"));
    let made = tokio::task::spawn_blocking(move || {
        let key = keys::load(&state)?.context("the server has no signing key")?;
        let set = publish(&Depot::open(depot)?, &key, &PublishOptions::at(Timestamp::now()))?;
        Ok(format!("version {}, serial {}", set.manifest().version(), set.serial()))
    });
    made.await?
}

fn name(mode: Mode) -> &'static str {
    match mode {
        Mode::Ftp => "FTP",
        Mode::Http => "HTTP",
    }
}

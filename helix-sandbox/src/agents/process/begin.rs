//! How an agent comes to run.

use std::{collections::BTreeMap, time::Duration};

use helix_isolation::GuestClient;
use tokio::sync::mpsc;

use super::{
    super::{acp::Acp, notes::Notes, place::Standing, prepare},
    Around, Order,
    talk::Talk,
};

/// How often it is looked whether a sandbox runs by now.
const LOOK: Duration = Duration::from_millis(500);

/// How much of an installation's line people are told.
const SHOWN: usize = 200;

impl Around {
    /// Starts the agent. The time for it is the thread's, which says stop.
    pub(super) async fn start(self, session: Option<String>, mut orders: mpsc::Receiver<Order>) {
        let begun = {
            let begin = std::pin::pin!(self.begin(session));
            let mut reading = true;
            let stopped = async {
                while let Some(order) = orders.recv().await {
                    match order {
                        Order::Stop => return,
                        Order::Read(on) => reading = on,
                        // An agent that is not ready is told nothing.
                        Order::Tell { .. } => {}
                    }
                }
                // The host ends, and what runs inside goes on: it is stopped by the next.
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = stopped => None,
                begun = begin => Some(begun.map(|notes| (notes, reading))),
            }
        };
        match begun {
            // What was being run for it ended as its caller left.
            None => self.exited("stopped").await,
            Some(Err(why)) => self.exited(why).await,
            Some(Ok(((notes, out), reading))) => {
                let mut talk = Talk::begin(self, notes, reading);
                talk.act(None, out).await;
                talk.live(orders).await;
            }
        }
    }

    async fn begin(
        &self,
        session: Option<String>,
    ) -> Result<(Notes, Vec<super::super::acp::Out>), String> {
        let guest = self.when_it_runs().await?;
        // An earlier process that did not stop in time.
        self.kill_noted().await?;
        self.place.furnished().await;
        let directory = prepare::directory(&guest, &self.spec.directory).await?;
        let spec = self.models.filled(&self.spec, &guest).await?;
        let is_there =
            spec.install.is_empty() || prepare::is_there(&guest, &spec, &directory).await?;
        for line in spec.install.iter().filter(|_| !is_there) {
            let shown = &line[..line.floor_char_boundary(SHOWN)];
            self.starting(format!("installing… {shown}")).await;
            prepare::install(&guest, &spec, line).await?;
        }
        self.starting(format!("starting {}", spec.name)).await;
        let exec = prepare::start(&guest, &spec, &directory).await?;
        let (acp, out) = Acp::new(directory, self.place.has_desktop(), session);
        let notes = Notes {
            run: self.run,
            exec: exec.id,
            acp,
            served: 0,
            last_call: 0,
            calls: BTreeMap::new(),
            terminals: BTreeMap::new(),
        };
        if let Err(error) = self.notebook.write(&notes) {
            // Without, it would be left behind by a restart.
            let _ = guest.kill(exec.id).await;
            return Err(format!(
                "the host cannot note that it started the agent: {error}"
            ));
        }
        Ok((notes, out))
    }

    async fn when_it_runs(&self) -> Result<GuestClient, String> {
        let mut told = None;
        loop {
            match self.place.standing() {
                Standing::Runs(environment) => return Ok(GuestClient::new(environment)),
                Standing::Ended(why) => return Err(format!("{why}: start it first")),
                Standing::Gone => return Err("the sandbox is gone".to_owned()),
                Standing::Waits(why) => {
                    if told != Some(why) {
                        told = Some(why);
                        self.starting(why).await;
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

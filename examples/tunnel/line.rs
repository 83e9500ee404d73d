//! A network that breaks.

use std::net::SocketAddr;

use helix_base::TaskGroup;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Carries connections to another address, until it is cut.
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    cuts: watch::Sender<()>,
}

impl Line {
    pub(crate) async fn to(target: SocketAddr, group: &TaskGroup) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cuts = watch::Sender::new(());
        let (cut, inner) = (cuts.clone(), group.clone());
        group.spawn("line", async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.subscribe();
                inner.spawn("carry", async move {
                    let mut far = TcpStream::connect(target).await?;
                    tokio::select! {
                        carried = copy_bidirectional(&mut near, &mut far) => carried.map(drop),
                        _ = cut.changed() => Ok(()),
                    }
                });
            }
        });
        Ok(Self { address, cuts })
    }

    /// Breaks all connections there are; new ones work.
    pub(crate) fn cut(&self) {
        self.cuts.send_replace(());
    }
}

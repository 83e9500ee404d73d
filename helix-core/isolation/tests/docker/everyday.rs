//! What people do with Docker, in a sandbox.

use libtest_mimic::Trial;

use crate::{
    daemon::{eventually, import, spec},
    reach::fetch,
    support::{Place, sh, sh_as, trial},
};
use helix_proto::sandbox::Egress;

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial(
        "an image is built from a folder, with arguments and steps that are kept",
        build,
    ));
    trials.push(trial(
        "containers of one network see each other by name, and none of another network",
        networks,
    ));
    trials.push(trial(
        "a volume is shared by containers, outlives them, and is removed by name",
        volumes,
    ));
    trials.push(trial(
        "ports are published to all or to localhost alone, and are free again after",
        ports,
    ));
    trials.push(trial(
        "a privileged container may do in its sandbox what root there may",
        privileged,
    ));
    if crate::exists("/usr/bin/docker-compose") {
        trials.push(trial(
            "services of Compose reach each other, and the sandbox reaches them by name",
            compose,
        ));
    } else {
        println!("skipped: Compose: there is no /usr/bin/docker-compose");
    }
}

/// A container that serves what `who` says.
fn server(name: &str, more: &str, who: &str) -> String {
    format!(
        "docker run -d --name {name} {more} box sh -c \
         'mkdir /www && echo {who} > /www/index.html && exec httpd -f -p 80 -h /www' >/dev/null"
    )
}

async fn build() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let script = "set -e; mkdir -p build/files; cd build; echo content > files/one; \
        printf 'FROM box AS first\\nARG WHO=nobody\\nRUN echo $WHO > /who\\n\
        FROM box\\nCOPY files /files\\nCOPY --from=first /who /who\\n\
        ENV HELLO=there\\nWORKDIR /files\\nCMD cat one /who && echo $HELLO\\n' > Dockerfile; \
        export DOCKER_BUILDKIT=0; docker build -q --build-arg WHO=me -t made . >/dev/null 2>&1; \
        docker run --rm made; \
        docker build --build-arg WHO=me -t made . 2>/dev/null | grep -c 'Using cache'";
    // By the sandbox's user, with no rights but the socket's.
    let said = sh_as("user", &sandbox, &format!("cd; {script}")).await;
    assert_eq!(said, "content\nme\nthere\n7\n");
    place.close().await;
}

async fn networks() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let made = format!(
        "docker network create one >/dev/null; docker network create two >/dev/null; {}",
        server("web", "--network one", "from-web")
    );
    sh(&sandbox, &made).await;
    let ask = |network: &str| {
        format!(
            "docker run --rm --network {network} box \
             sh -c 'timeout 5 wget -q -O - http://web/ 2>/dev/null || echo no'"
        )
    };
    eventually("it serves", async || {
        fetch(&sandbox, "http://web/").await == "from-web"
    })
    .await;
    assert_eq!(sh(&sandbox, &ask("one")).await, "from-web\n");
    assert_eq!(sh(&sandbox, &ask("two")).await, "no\n");
    // Not by address either.
    let address = crate::reach::address(&sandbox, "web").await;
    let by_address = ask("two").replace("http://web/", &format!("http://{address}/"));
    assert_eq!(sh(&sandbox, &by_address).await, "no\n");
    assert_eq!(sh(&sandbox, "docker network connect two web").await, "");
    assert_eq!(sh(&sandbox, &ask("two")).await, "from-web\n");
    assert_eq!(fetch(&sandbox, "http://web.two/").await, "from-web");
    place.close().await;
}

async fn volumes() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let script = "docker volume create data >/dev/null; \
        docker run --rm -v data:/data box sh -c 'echo kept > /data/one'; \
        docker run --rm -v data:/data:ro box sh -c 'cat /data/one; echo x > /data/two' 2>/dev/null; \
        docker run --rm --tmpfs /scratch -v /home/user:/host box sh -c \
        'echo seen > /host/from-container'; cat /home/user/from-container; \
        docker volume ls -q; docker volume rm data; docker volume ls -q | wc -l";
    assert_eq!(sh(&sandbox, script).await, "kept\nseen\ndata\ndata\n0\n");
    place.close().await;
}

async fn ports() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let own = sh(&sandbox, "hostname -I").await;
    let own = own
        .split_whitespace()
        .find(|one| one.starts_with("10."))
        .unwrap();
    sh(&sandbox, &server("all", "-p 8001:80", "all")).await;
    sh(&sandbox, &server("local", "-p 127.0.0.1:8002:80", "local")).await;
    for (url, says) in [
        ("http://localhost:8001/".to_owned(), "all"),
        (format!("http://{own}:8001/"), "all"),
        ("http://127.0.0.1:8002/".to_owned(), "local"),
    ] {
        eventually(&url, async || fetch(&sandbox, &url).await == says).await;
    }
    assert_eq!(fetch(&sandbox, &format!("http://{own}:8002/")).await, "");
    let taken = "docker run --rm -p 8001:80 box true 2>&1 | grep -c 'already allocated'";
    assert_eq!(sh(&sandbox, taken).await, "1\n");
    sh(&sandbox, "docker rm -f all").await;
    assert_eq!(fetch(&sandbox, "http://localhost:8001/").await, "");
    sh(&sandbox, &server("next", "-p 8001:80", "next")).await;
    let url = "http://localhost:8001/";
    eventually("the next serves", async || {
        fetch(&sandbox, url).await == "next"
    })
    .await;
    place.close().await;
}

async fn privileged() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let mount = "docker run --rm --privileged box sh -c \
        'mkdir /m && mount -t tmpfs none /m && echo mounted' 2>&1";
    assert_eq!(sh(&sandbox, mount).await, "mounted\n");
    let without = mount.replace("--privileged ", "");
    assert_ne!(sh(&sandbox, &without).await, "mounted\n");
    // No more than that: neither the machine's disks, nor its settings.
    let more = "docker run --rm --privileged --pid=host --net=host -v /:/host box sh -c \
        'for try in \"mknod /disk b 254 0\" \"sh -c \\\"echo 1 > /proc/sys/kernel/panic\\\"\" \
        \"cat /host/etc/shadow-of-the-machine\"; do eval $try 2>/dev/null && echo DONE $try; done; \
        ls /host/root; echo end'";
    assert_eq!(sh(&sandbox, more).await, "end\n");
    place.close().await;
}

async fn compose() {
    let place = Place::new().await;
    let sandbox = place.start(&spec(&place, Egress::None)).await;
    import(&sandbox).await;
    let file = "version: \"3\"\nservices:\n  web:\n    image: box\n    ports: [\"8003:80\"]\n    \
        command: sh -c \"mkdir /www && wget -q -O /www/index.html http://api/ && exec httpd -f -p 80 -h /www\"\n    \
        restart: on-failure\n    depends_on: [api]\n  api:\n    build: .\n    \
        volumes: [\"data:/data\"]\n    command: sh -c \"echo from-api > /data/index.html && exec httpd -f -p 80 -h /data\"\n\
        volumes:\n  data:\n";
    let up = format!(
        "set -e; mkdir -p shop; cd shop; cat > docker-compose.yml <<'END'\n{file}END\n\
         printf 'FROM box\\nRUN echo built > /built\\n' > Dockerfile; \
         export DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0; docker-compose up -d >up.log 2>&1 \
         && echo up || cat up.log"
    );
    assert_eq!(sh_as("user", &sandbox, &format!("cd; {up}")).await, "up\n");
    for url in [
        "http://web/",
        "http://api/",
        "http://localhost:8003/",
        "http://api.shop_default/",
        "http://shop_web_1/",
    ] {
        eventually(url, async || fetch(&sandbox, url).await == "from-api").await;
    }
    let down = "cd /home/user/shop && docker-compose down -v >/dev/null 2>&1 && \
        docker ps -aq | wc -l; docker volume ls -q | wc -l";
    assert_eq!(sh_as("user", &sandbox, down).await, "0\n0\n");
    assert_eq!(fetch(&sandbox, "http://api/").await, "");
    place.close().await;
}

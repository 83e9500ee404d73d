//! What a sandbox cannot do. Whether each promise of SECURITY.md holds against an attacker
//! is for the security tests; these are the limits, and what is hidden.

use libtest_mimic::Trial;

use crate::support::{Place, sh, sh_as, trial};

pub(crate) fn trials(trials: &mut Vec<Trial>) {
    trials.push(trial("secrets of the host are not there", secrets));
    trials.push(trial("the host is not changed by writes", writes));
    trials.push(trial(
        "limits of memory, processes, disk and files hold",
        limits,
    ));
    trials.push(trial("a paused sandbox uses no processor time", paused));
    trials.push(trial(
        "root has few capabilities, and system calls are refused",
        privileges,
    ));
    trials.push(trial("nothing that was mounted can be unmounted", mounts));
}

async fn secrets() {
    let place = Place::new().await;
    let sandbox = place.start(&place.spec()).await;
    let shadow = sh(&sandbox, "cat /etc/shadow").await;
    assert!(shadow.lines().all(|line| line.contains(":*:")), "{shadow}");
    assert_eq!(
        sh(&sandbox, "ls -A /root /mnt /srv /boot /tmp | grep -v :")
            .await
            .trim(),
        ""
    );
    assert_eq!(sh(&sandbox, "ls /home").await, "user\n");
    let data = place.directory.path().display().to_string();
    assert_eq!(sh(&sandbox, &format!("ls {data} 2>/dev/null")).await, "");
    // What an ordinary user of the host cannot read is not there for the sandbox's root.
    let hidden = std::process::Command::new("find")
        .args([
            "/usr", "/etc", "-xdev", "-type", "f", "!", "-perm", "-o=r", "-print",
        ])
        .output()
        .unwrap();
    let mut looked_for = 0;
    for path in String::from_utf8_lossy(&hidden.stdout).lines().take(20) {
        if path.ends_with("shadow") {
            continue;
        }
        looked_for += 1;
        assert_eq!(
            sh(&sandbox, &format!("ls {path} 2>/dev/null")).await,
            "",
            "{path}"
        );
    }
    assert!(looked_for > 0, "the host has no secrets to look for");
    let processes = sh(&sandbox, "ls -d /proc/[0-9]* | wc -l").await;
    assert!(processes.trim().parse::<u32>().unwrap() < 10, "{processes}");
    place.close().await;
}

async fn writes() {
    let place = Place::new().await;
    let sandbox = place.start(&place.spec()).await;
    let script = "echo x > /etc/hostname && echo x > /usr/bin/new && chmod 700 /usr/bin/new && \
                  rm /usr/bin/[ && mkdir /usr/lib/new && mv /usr/share/doc /usr/share/docs && \
                  echo y >> /etc/passwd && chown user /etc/hosts && echo written";
    assert_eq!(sh(&sandbox, script).await, "written\n");
    assert!(!std::path::Path::new("/usr/bin/new").exists());
    assert!(std::path::Path::new("/usr/bin/[").exists());
    assert!(std::path::Path::new("/usr/share/doc").exists());
    place.close().await;
}

async fn limits() {
    let place = Place::new().await;
    let sandbox = place.start(&place.spec()).await;
    let disk = "dd if=/dev/zero of=/root/large bs=1M count=400 2>&1 | grep -o 'No space left'";
    assert_eq!(sh(&sandbox, disk).await, "No space left\n");
    sh(&sandbox, "rm /root/large").await;
    assert_eq!(sh(&sandbox, "ulimit -n; ulimit -Hn").await, "256\n256\n");
    let files = "i=0; exec 2>/dev/null; for i in $(seq 300); do eval \"exec $((i+10))</dev/null\" || break; done; echo $i";
    let opened = sh(&sandbox, files).await;
    assert!(opened.trim().parse::<u32>().unwrap_or(0) < 257, "{opened}");
    let bomb = "for i in $(seq 100); do sleep 30 & done 2>&1; ls -d /proc/[0-9]* | wc -l";
    let processes = sh(&sandbox, bomb).await;
    let last = processes
        .lines()
        .last()
        .unwrap_or_default()
        .parse::<u32>()
        .unwrap_or(0);
    assert!(last <= 64, "{processes}");
    sandbox.stop().await.unwrap();
    let sandbox = place.start(&sandbox.spec()).await;
    let memory = "head -c 400000000 /dev/zero | tail -c 400000000 >/dev/null; echo $?";
    assert_ne!(sh(&sandbox, memory).await.trim(), "0");
    let in_memory = "dd if=/dev/zero of=/tmp/large bs=1M count=400 2>&1 | grep -o 'No space left'; rm -f /tmp/large";
    assert_eq!(sh(&sandbox, in_memory).await, "No space left\n");
    place.close().await;
}

async fn paused() {
    let place = Place::new().await;
    let sandbox = place.start(&place.spec()).await;
    sh(&sandbox, "(while :; do :; done) >/dev/null 2>&1 &").await;
    sandbox.pause().await.unwrap();
    let before = sandbox.stats().await.unwrap();
    let wait = std::time::Duration::from_millis(200);
    tokio::time::timeout(wait, sandbox.ended())
        .await
        .unwrap_err();
    let after = sandbox.stats().await.unwrap();
    assert_eq!(before.cpu_us, after.cpu_us);
    sandbox.resume().await.unwrap();
    tokio::time::timeout(wait, sandbox.ended())
        .await
        .unwrap_err();
    let running = sandbox.stats().await.unwrap();
    assert!(running.cpu_us > after.cpu_us);
    place.close().await;
}

async fn privileges() {
    let place = Place::new().await;
    let sandbox = place.start(&place.spec()).await;
    let user = sh_as(
        "user",
        &sandbox,
        "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status",
    )
    .await;
    let lines: Vec<_> = user.split_whitespace().collect();
    assert_eq!(
        lines.chunks(2).map(|pair| pair[1]).collect::<Vec<_>>()[0],
        "0000000000000000",
        "{user}"
    );
    assert!(
        user.contains("NoNewPrivs:\t1") && user.contains("Seccomp:\t2"),
        "{user}"
    );
    let root = sh(&sandbox, "grep -E 'CapEff|Seccomp:' /proc/self/status").await;
    let bits = root.split_whitespace().nth(1).unwrap();
    let bits = u64::from_str_radix(bits, 16).unwrap();
    // Neither SYS_ADMIN, nor NET_ADMIN, nor MKNOD.
    assert_eq!(bits & (1 << 21 | 1 << 12 | 1 << 27), 0, "{root}");
    for refused in [
        "unshare -U true",
        "unshare -m true",
        "mount -t tmpfs none /mnt",
        "umount /proc/sys",
        "mknod /tmp/disk b 7 0",
        "dmesg",
        "echo 1 > /proc/sys/vm/drop_caches",
        "echo 1 > /proc/sysrq-trigger && test -c /proc/sysrq-trigger -a ! /proc/sysrq-trigger -ef /dev/null",
        "nsenter -t 1 -m true",
        "chroot /proc/1/root true && false",
    ] {
        let said = sh(
            &sandbox,
            &format!("({refused}) >/dev/null 2>&1 && echo allowed"),
        )
        .await;
        assert_eq!(said, "", "{refused}");
    }
    place.close().await;
}

async fn mounts() {
    let place = Place::new().await;
    let sandbox = place.start(&place.spec()).await;
    let mounts = sh(&sandbox, "cut -d' ' -f2 /proc/mounts").await;
    assert!(mounts.lines().count() > 10, "{mounts}");
    assert!(
        !mounts.contains(&place.directory.path().display().to_string()),
        "{mounts}"
    );
    for mount in mounts.lines() {
        let said = sh(
            &sandbox,
            &format!("umount -l {mount} 2>/dev/null && echo gone"),
        )
        .await;
        assert_eq!(said, "", "{mount}");
    }
    place.close().await;
}

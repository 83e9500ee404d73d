//! Memory that is shared with the compositor.

use std::os::fd::AsFd as _;

use memmap2::{Mmap, MmapOptions};
use wayland_client::{
    Dispatch, QueueHandle,
    protocol::{
        wl_buffer::WlBuffer,
        wl_shm::{Format, WlShm},
        wl_shm_pool::WlShmPool,
    },
};

use crate::{Error, memory};

/// What a buffer has to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) stride: u32,
}

/// A buffer that the compositor writes and we read.
pub(super) struct Shared {
    pub(super) shape: Shape,
    pub(super) buffer: WlBuffer,
    map: Mmap,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.buffer.destroy();
    }
}

impl Shared {
    /// One of this shape.
    pub(super) fn new<S>(shm: &WlShm, queue: &QueueHandle<S>, shape: Shape) -> Result<Self, Error>
    where
        S: Dispatch<WlShmPool, ()> + Dispatch<WlBuffer, ()> + 'static,
    {
        let failed = |why: &dyn std::fmt::Display| Error::failed("no memory for a picture", why);
        let bytes = u64::from(shape.stride) * u64::from(shape.height);
        let size = i32::try_from(bytes).map_err(|why| failed(&why))?;
        let number = |number: u32| i32::try_from(number).map_err(|why| failed(&why));
        let fd = memory::file("helix-capture", bytes).map_err(|why| failed(&why))?;
        // SAFETY: the file is ours and cannot shrink; the compositor writes into it, but only
        // between a request for a copy and its answer, when nobody reads here.
        let map = unsafe { MmapOptions::new().map(&fd) }.map_err(|why| failed(&why))?;
        let pool = shm.create_pool(fd.as_fd(), size, queue, ());
        let (width, height, stride) = (
            number(shape.width)?,
            number(shape.height)?,
            number(shape.stride)?,
        );
        let buffer = pool.create_buffer(0, width, height, stride, shape.format, queue, ());
        pool.destroy();
        Ok(Self { shape, buffer, map })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }
}

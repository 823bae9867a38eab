//! Files as what is read and written at places.

use std::future::Future;
use std::io;

use super::File;
use crate::buf::{BufError, BufResult, IoBuf, IoBufMut};
use crate::io::{OwnedReadAt, OwnedWriteAt};

impl OwnedReadAt for File {
    fn read_at<B: IoBufMut>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = BufResult<usize, B>> {
        File::read_at(self, buf, offset)
    }

    async fn size(&self) -> io::Result<u64> {
        Ok(self.metadata().await?.len())
    }

    fn read_exact_at<B: IoBufMut>(
        &self,
        buf: B,
        n: usize,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        File::read_exact_at(self, buf, n, offset)
    }
}

impl OwnedWriteAt for File {
    fn write_at<B: IoBuf>(&self, buf: B, offset: u64) -> impl Future<Output = BufResult<usize, B>> {
        File::write_at(self, buf, offset)
    }

    fn write_all_at<B: IoBuf>(
        &self,
        buf: B,
        offset: u64,
    ) -> impl Future<Output = Result<B, BufError<B>>> {
        File::write_all_at(self, buf, offset)
    }
}

# A database file with a journal, and a query over it.
$RUN sqlite3 db 'create table t(n); insert into t values (1),(2),(39); pragma journal_mode=wal;'
$RUN sqlite3 db 'insert into t values (0); select sum(n) from t;'

//! etcd's behaviour, case by case, as observed on etcd 3.4.

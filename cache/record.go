package cache

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// The buckets: records in the order of their writing, by a rising number; the
// number of each key's record; and the sums over the records.
var (
	recordsBucket = []byte("records") // number → key, checksum, value
	indexBucket   = []byte("index")   // key → number
	metaBucket    = []byte("meta")
	formatKey     = []byte("format")
	sizeKey       = []byte("size") // entries, bytes
)

const format = 1

// recordHead is what is before the value in a record: key and checksum.
const recordHead = len(Key{}) + 4

// cost is what a value of n bytes takes in the file: both buckets' keys and
// their pages' overhead, about, beside it.
func cost(n int) int64 { return int64(n) + 200 }

// encode makes a record. The checksum covers key and value: bbolt has none for
// its pages, and a damaged answer would look like the model's.
func encode(key Key, value []byte) []byte {
	r := make([]byte, recordHead, recordHead+len(value))
	copy(r, key[:])
	r = append(r, value...)
	binary.BigEndian.PutUint32(r[len(key):], checksum(r))
	return r
}

// decode gives a record's value, which is the file's memory, or false for one
// that is not key's or not whole.
func decode(key Key, r []byte) ([]byte, bool) {
	if len(r) <= recordHead || Key(r) != key || binary.BigEndian.Uint32(r[len(key):]) != checksum(r) {
		return nil, false
	}
	return r[recordHead:], true
}

func checksum(r []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(r[:len(Key{})], table), table, r[recordHead:])
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// prepare reads the sums of a file, or makes the buckets of a new one.
func prepare(db *bbolt.DB) (size Stats, err error) {
	isNew := false
	err = db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if meta == nil {
			isNew = true
			return nil
		}
		if f := meta.Get(formatKey); len(f) != 8 || binary.BigEndian.Uint64(f) != format {
			return fmt.Errorf("%w: it has format %x, not %d", errDamaged, f, format)
		}
		if tx.Bucket(recordsBucket) == nil || tx.Bucket(indexBucket) == nil {
			return fmt.Errorf("%w: a bucket is missing", errDamaged)
		}
		size, err = sums(meta)
		return err
	})
	if err != nil || !isNew {
		return size, err
	}
	return size, db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{recordsBucket, indexBucket, metaBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(metaBucket)
		if err := putSums(meta, size); err != nil {
			return err
		}
		return meta.Put(formatKey, number(format))
	})
}

func sums(meta *bbolt.Bucket) (Stats, error) {
	v := meta.Get(sizeKey)
	if len(v) != 16 {
		return Stats{}, fmt.Errorf("%w: its size is missing", errDamaged)
	}
	return Stats{Entries: int64(binary.BigEndian.Uint64(v)), Bytes: int64(binary.BigEndian.Uint64(v[8:]))}, nil
}

func putSums(meta *bbolt.Bucket, s Stats) error {
	return meta.Put(sizeKey, append(number(uint64(s.Entries)), number(uint64(s.Bytes))...))
}

// lookUp copies out the values of keys[i] for each i of ask, and lists the keys
// found in the older half of the records.
func lookUp(tx *bbolt.Tx, keys []Key, ask []int, values [][]byte) (old []Key) {
	index, records := tx.Bucket(indexBucket), tx.Bucket(recordsBucket)
	first, _ := records.Cursor().First()
	if len(first) != 8 {
		return nil
	}
	oldest := binary.BigEndian.Uint64(first)
	middle := oldest + (records.Sequence()-oldest)/2
	for _, i := range ask {
		at := index.Get(keys[i][:])
		if len(at) != 8 {
			continue
		}
		v, ok := decode(keys[i], records.Get(at))
		if !ok {
			continue
		}
		values[i] = append([]byte(nil), v...)
		if binary.BigEndian.Uint64(at) < middle {
			old = append(old, keys[i])
		}
	}
	return old
}

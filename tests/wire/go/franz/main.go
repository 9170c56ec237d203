// franz-go against `pykafka serve`: produces with each codec, reads alone and in groups of both protocols, asks, errs.
// A line a step; whatever is not as it should be ends the program. Argument: the bootstrap address.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 4

var (
	address = os.Args[1]
	ctx, _  = context.WithTimeout(context.Background(), 100*time.Second)
)

func check(err error, what string) {
	if err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		os.Exit(1)
	}
}

func must(holds bool, what string, found ...any) {
	if !holds {
		fmt.Fprintln(os.Stderr, append([]any{what}, found...)...)
		os.Exit(1)
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address)}, options...)...)
	check(err, "a client")
	return made
}

func main() {
	cl := client()
	admin := kadm.NewClient(cl)
	limit := "20000"
	_, err := admin.CreateTopic(ctx, partitions, 1, map[string]*string{"max.message.bytes": &limit}, "franz")
	check(err, "create")
	fmt.Println("create")
	sent := produce()
	readAlone(sent)
	offsets(admin, sent)
	for _, protocol := range []string{"classic", "consumer"} {
		group(admin, protocol, sent)
	}
	ask(admin)
	fail(admin)
	transact()
}

// Each codec, with idempotence and without, a record in each partition.
func produce() int {
	sent := 0
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		for _, idempotent := range []bool{true, false} {
			options := []kgo.Opt{
				kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()),
				kgo.DefaultProduceTopic("franz"),
			}
			if !idempotent {
				options = append(options, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()))
			}
			cl := client(options...)
			for partition := int32(0); partition < partitions; partition++ {
				value := fmt.Sprintf("%s %v %0100d", name, idempotent, partition)
				header := kgo.RecordHeader{Key: "h", Value: []byte("x")}
				record := &kgo.Record{
					Partition: partition, Key: []byte("k"), Value: []byte(value), Headers: []kgo.RecordHeader{header},
				}
				check(cl.ProduceSync(ctx, record).FirstErr(), "produce "+value)
				sent++
			}
			cl.Close()
		}
	}
	fmt.Println("produce")
	return sent
}

func readAlone(sent int) {
	cl := client(kgo.ConsumeTopics("franz"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer cl.Close()
	found := map[string]bool{}
	for len(found) < sent {
		fetches := cl.PollFetches(ctx)
		check(fetches.Err(), "read alone")
		fetches.EachRecord(func(record *kgo.Record) {
			must(string(record.Key) == "k" && string(record.Headers[0].Value) == "x", "a record", record)
			found[string(record.Value)] = true
		})
	}
	fmt.Println("read alone")
	at := map[string]map[int32]kgo.Offset{"franz": {0: kgo.NewOffset().At(5)}}
	seeking := client(kgo.ConsumePartitions(at))
	defer seeking.Close()
	first := seeking.PollFetches(ctx).Records()[0]
	must(first.Offset == 5, "seek", first.Offset)
	fmt.Println("seek")
}

func offsets(admin *kadm.Client, sent int) {
	ends, err := admin.ListEndOffsets(ctx, "franz")
	check(err, "end offsets")
	end, _ := ends.Lookup("franz", 1)
	must(end.Offset == int64(sent/partitions), "the end", end)
	early, err := admin.ListOffsetsAfterMilli(ctx, 1, "franz")
	check(err, "offsets for times")
	first, _ := early.Lookup("franz", 1)
	must(first.Offset == 0 && first.Timestamp > 1, "the offset for a time", first)
	fmt.Println("offsets")
}

// Two members, a rebalance when the second one joins and another when it leaves.
func group(admin *kadm.Client, protocol string, sent int) {
	name := "franz-" + protocol
	var mutex sync.Mutex
	owned := map[int]map[int32]bool{0: {}, 1: {}}
	found := map[string]int{}
	member := func(number int) (*kgo.Client, chan struct{}) {
		options := []kgo.Opt{
			kgo.ConsumerGroup(name), kgo.ConsumeTopics("franz"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.HeartbeatInterval(300 * time.Millisecond), kgo.AutoCommitMarks(),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, some map[string][]int32) {
				mutex.Lock()
				defer mutex.Unlock()
				for _, each := range some["franz"] {
					owned[number][each] = true
				}
			}),
			kgo.OnPartitionsRevoked(func(ctx context.Context, cl *kgo.Client, some map[string][]int32) {
				_ = cl.CommitMarkedOffsets(ctx)
				mutex.Lock()
				defer mutex.Unlock()
				for _, each := range some["franz"] {
					delete(owned[number], each)
				}
			}),
			kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, some map[string][]int32) {
				mutex.Lock()
				defer mutex.Unlock()
				for _, each := range some["franz"] {
					delete(owned[number], each)
				}
			}),
		}
		if protocol == "consumer" {
			options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()))
		}
		cl := client(options...)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				fetches := cl.PollFetches(ctx)
				if fetches.IsClientClosed() || ctx.Err() != nil {
					return
				}
				mutex.Lock()
				fetches.EachRecord(func(record *kgo.Record) {
					found[fmt.Sprint(record.Partition, ":", record.Offset)]++
					cl.MarkCommitRecords(record)
				})
				mutex.Unlock()
			}
		}()
		return cl, done
	}
	until := func(what string, holds func() bool) {
		for ctx.Err() == nil {
			mutex.Lock()
			now := holds()
			mutex.Unlock()
			if now {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		must(false, name+": "+what, owned, len(found))
	}
	first, firstDone := member(0)
	until("all to the first", func() bool { return len(owned[0]) == partitions && len(found) == sent })
	second, secondDone := member(1)
	until("half each", func() bool { return len(owned[0]) == 2 && len(owned[1]) == 2 })
	described, err := admin.DescribeGroups(ctx, name)
	check(err, "describe the group")
	if protocol == "classic" {
		must(len(described[name].Members) == 2, "the group", described)
	} else {
		must(described[name].ProtocolType == "" || described[name].State == "Dead", "a group of the other type", described)
	}
	second.Close()
	<-secondDone
	until("all again", func() bool { return len(owned[0]) == partitions })
	check(first.CommitMarkedOffsets(ctx), "commit")
	first.Close()
	<-firstDone
	for record, times := range found {
		must(times == 1, "read once", record, times)
	}
	committed, err := admin.FetchOffsets(ctx, name)
	check(err, "committed")
	for partition := int32(0); partition < partitions; partition++ {
		at, _ := committed.Lookup("franz", partition)
		must(at.At == int64(sent/partitions), "committed", at)
	}
	fmt.Println("group", protocol)
}

func ask(admin *kadm.Client) {
	topics, err := admin.ListTopics(ctx)
	check(err, "topics")
	must(topics.Has("franz") && len(topics["franz"].Partitions) == partitions, "topics", topics)
	groups, err := admin.ListGroups(ctx)
	check(err, "groups")
	must(len(groups) == 2, "groups", groups)
	configs, err := admin.DescribeTopicConfigs(ctx, "franz")
	check(err, "configs")
	configured, err := configs.On("franz", nil)
	check(err, "configs")
	must(len(configured.Configs) > 30, "configs", configured)
	value := "5000000"
	alter := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &value}}
	_, err = admin.AlterTopicConfigs(ctx, alter, "franz")
	check(err, "alter")
	_, err = admin.CreatePartitions(ctx, 1, "franz")
	check(err, "partitions")
	deleted, err := admin.DeleteRecords(ctx, kadm.Offsets{"franz": {0: {Topic: "franz", Partition: 0, At: 2}}})
	check(err, "records")
	low, _ := deleted.Lookup("franz", 0)
	must(low.Err == nil && low.LowWatermark == 2, "records", low)
	_, err = admin.DeleteGroups(ctx, "franz-classic")
	check(err, "delete a group")
	sizes, err := admin.DescribeAllLogDirs(ctx, nil)
	check(err, "log directories")
	must(len(sizes) == 1, "log directories", sizes)
	fmt.Println("ask")
}

func fail(admin *kadm.Client) {
	_, err := admin.CreateTopic(ctx, 1, 1, nil, "franz")
	must(errors.Is(err, kerr.TopicAlreadyExists), "a topic that exists", err)
	cl := client(kgo.DefaultProduceTopic("franz"), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer cl.Close()
	err = cl.ProduceSync(ctx, kgo.SliceRecord(make([]byte, 50000))).FirstErr()
	must(errors.Is(err, kerr.MessageTooLarge), "a large record", err)
	nowhere := client(kgo.DefaultProduceTopic("nowhere"), kgo.UnknownTopicRetries(1))
	defer nowhere.Close()
	err = nowhere.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr()
	must(errors.Is(err, kerr.UnknownTopicOrPartition), "no topic", err)
	at := map[string]map[int32]kgo.Offset{"franz": {1: kgo.NewOffset().At(999)}}
	beyond := client(kgo.ConsumePartitions(at), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	defer beyond.Close()
	err = beyond.PollFetches(ctx).Err()
	must(errors.Is(err, kerr.OffsetOutOfRange), "an offset that is none", err)
	fmt.Println("fail")
}

// A transaction is refused by name at the first attempt; asking again and again would end by the context's time.
func transact() {
	cl := client(kgo.DefaultProduceTopic("franz"), kgo.TransactionalID("t"))
	defer cl.Close()
	err := cl.BeginTransaction()
	if err == nil {
		err = cl.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr()
	}
	must(errors.Is(err, kerr.TransactionalIDAuthorizationFailed), "a transaction", err)
	fmt.Println("transact")
}

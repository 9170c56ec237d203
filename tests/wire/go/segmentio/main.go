// segmentio's kafka-go against `pykafka serve`: produces with each codec, reads alone, by its client and in a group,
// asks, errs. A line a step; whatever is not as it should be ends the program. Argument: the bootstrap address.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	partitions = 4
	topic      = "segmentio"
	wait       = 100 * time.Millisecond // what a poll waits for, and whoever ends a reader waits for its poll
)

var (
	address = os.Args[1]
	client  = &kafka.Client{Addr: kafka.TCP(address)}
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

func main() {
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: partitions, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: "20000"}},
	}}})
	check(err, "create")
	check(made.Errors[topic], "create")
	fmt.Println("create")
	sent := produce()
	readAlone(sent)
	for _, balancer := range []kafka.GroupBalancer{kafka.RangeGroupBalancer{}, kafka.RackAffinityGroupBalancer{}} {
		group(balancer, sent)
	}
	fmt.Println("group")
	fail()
}

// Each codec, a record in each partition.
func produce() int {
	sent := 0
	for _, codec := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		writer := &kafka.Writer{
			Addr: kafka.TCP(address), Topic: topic, Compression: codec, RequiredAcks: kafka.RequireAll,
			Balancer: &kafka.RoundRobin{}, BatchTimeout: time.Millisecond,
		}
		for partition := 0; partition < partitions; partition++ {
			check(writer.WriteMessages(ctx, kafka.Message{
				Key: []byte("k"), Value: []byte(fmt.Sprintf("%v %0100d", codec, partition)),
				Headers: []kafka.Header{{Key: "h", Value: []byte("x")}},
			}), "produce")
			sent++
		}
		check(writer.Close(), "close a writer")
	}
	fmt.Println("produce")
	return sent
}

func readAlone(sent int) {
	each := int64(sent / partitions)
	for partition := 0; partition < partitions; partition++ {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{address}, Topic: topic, Partition: partition, MaxWait: wait,
		})
		check(reader.SetOffset(1), "seek")
		for offset := int64(1); offset < each; offset++ {
			record, err := reader.ReadMessage(ctx)
			check(err, "read")
			must(record.Offset == offset && string(record.Key) == "k" && string(record.Headers[0].Value) == "x", "read", record)
		}
		check(reader.Close(), "close a reader")
		answer, err := client.Fetch(ctx, &kafka.FetchRequest{Topic: topic, Partition: partition, MinBytes: 1, MaxBytes: 99999})
		check(err, "fetch")
		check(answer.Error, "fetch")
		must(answer.HighWatermark == each, "fetch", answer.HighWatermark)
		record, err := answer.Records.ReadRecord()
		check(err, "fetch")
		must(record.Offset == 0, "fetch", record)
	}
	fmt.Println("read alone")
}

// Two readers in turns, so that the second goes on where the first committed; what is assigned to each is the first's say.
func group(balancer kafka.GroupBalancer, sent int) {
	name := "segmentio-" + balancer.ProtocolName()
	found := map[string]bool{}
	read := func(count int, instances ...*kafka.Reader) {
		for i := 0; i < count; i++ {
			reader := instances[i%len(instances)]
			record, err := reader.FetchMessage(ctx)
			check(err, name)
			found[fmt.Sprint(record.Partition, ":", record.Offset)] = true
			check(reader.CommitMessages(ctx, record), name+": commit")
		}
	}
	join := func() *kafka.Reader {
		return kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{address}, GroupID: name, GroupTopics: []string{topic}, StartOffset: kafka.FirstOffset,
			GroupBalancers: []kafka.GroupBalancer{balancer}, MaxWait: wait,
		})
	}
	first := join()
	read(sent/2, first)
	described, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{name}})
	check(err, name+": describe")
	must(described.Groups[0].GroupState == "Stable", name, described.Groups[0])
	share := described.Groups[0].Members[0].MemberAssignments.Topics
	must(len(share) == 1 && len(share[0].Partitions) == partitions, name, described.Groups[0])
	check(first.Close(), name+": leave")
	second := join()
	read(sent-sent/2, second)
	must(len(found) == sent, name, found)
	check(second.Close(), name+": leave")
	committed, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: name, Topics: map[string][]int{topic: {0, 1, 2, 3}}})
	check(err, name+": committed")
	for _, each := range committed.Topics[topic] {
		must(each.CommittedOffset == int64(sent/partitions), name, committed)
	}
}

func fail() {
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	check(err, "a topic that exists")
	must(errors.Is(made.Errors[topic], kafka.TopicAlreadyExists), "a topic that exists", made.Errors)
	writer := &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, RequiredAcks: kafka.RequireAll, MaxAttempts: 1}
	err = writer.WriteMessages(ctx, kafka.Message{Value: make([]byte, 50000)})
	var each kafka.WriteErrors
	must(errors.As(err, &each) && errors.Is(each[0], kafka.MessageSizeTooLarge), "a large record", err)
	deleted, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{"nobody"}})
	check(err, "a group that is none")
	must(errors.Is(deleted.Errors["nobody"], kafka.GroupIdNotFound), "a group that is none", deleted.Errors)
	fmt.Println("fail")
}

// sarama against `pykafka serve`: produces with each codec, reads alone and in a group, asks, errs. A line a step;
// whatever is not as it should be ends the program. Arguments: the bootstrap address, the version that sarama speaks.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

const partitions = 4

var (
	address = []string{os.Args[1]}
	topic   = "sarama"
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

func settings() *sarama.Config {
	config := sarama.NewConfig()
	version, err := sarama.ParseKafkaVersion(os.Args[2])
	check(err, "version")
	config.Version = version
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.Group.Rebalance.Timeout = 20 * time.Second
	return config
}

func main() {
	admin, err := sarama.NewClusterAdmin(address, settings())
	check(err, "admin")
	limit := "20000"
	detail := &sarama.TopicDetail{
		NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: map[string]*string{"max.message.bytes": &limit},
	}
	check(admin.CreateTopic(topic, detail, false), "create")
	fmt.Println("create")
	sent := produce()
	readAlone()
	for name, strategy := range map[string]sarama.BalanceStrategy{
		"range": sarama.NewBalanceStrategyRange(), "sticky": sarama.NewBalanceStrategySticky(),
	} {
		group(admin, "sarama-"+name, strategy, sent)
	}
	fmt.Println("group")
	ask(admin)
	fail(admin)
	transact()
}

func produce() int {
	sent := 0
	codecs := []sarama.CompressionCodec{
		sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy, sarama.CompressionLZ4,
	}
	if settings().Version.IsAtLeast(sarama.V2_1_0_0) {
		codecs = append(codecs, sarama.CompressionZSTD)
	}
	for _, codec := range codecs {
		for _, idempotent := range []bool{true, false} {
			config := settings()
			config.Producer.Compression = codec
			if idempotent {
				config.Producer.Idempotent = true
				config.Producer.RequiredAcks = sarama.WaitForAll
				config.Net.MaxOpenRequests = 1
			}
			producer, err := sarama.NewSyncProducer(address, config)
			check(err, "a producer")
			for partition := int32(0); partition < partitions; partition++ {
				value := fmt.Sprintf("%v %v %0100d", codec, idempotent, partition)
				_, _, err := producer.SendMessage(&sarama.ProducerMessage{
					Topic: topic, Partition: partition, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder(value),
					Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte("x")}},
				})
				check(err, "produce "+value)
				sent++
			}
			check(producer.Close(), "close a producer")
		}
	}
	fmt.Println("produce")
	return sent
}

func readAlone() {
	consumer, err := sarama.NewConsumer(address, settings())
	check(err, "a consumer")
	for partition := int32(0); partition < partitions; partition++ {
		client, err := sarama.NewClient(address, settings())
		check(err, "a client")
		end, err := client.GetOffset(topic, partition, sarama.OffsetNewest)
		check(err, "the end")
		start, err := client.GetOffset(topic, partition, 1) // a time
		check(err, "the offset for a time")
		must(start == 0, "the offset for a time", start)
		reader, err := consumer.ConsumePartition(topic, partition, 3)
		check(err, "consume")
		for offset := int64(3); offset < end; offset++ {
			record := <-reader.Messages()
			must(record.Offset == offset && string(record.Key) == "k" && string(record.Headers[0].Value) == "x", "read", record)
		}
		must(reader.HighWaterMarkOffset() == end, "the high watermark", reader.HighWaterMarkOffset())
		check(reader.Close(), "close")
		check(client.Close(), "close")
	}
	check(consumer.Close(), "close")
	fmt.Println("read alone")
}

type member struct {
	group   sarama.ConsumerGroup
	cancel  context.CancelFunc
	done    chan struct{}
	mutex   *sync.Mutex
	found   map[string]int
	claimed int
}

func (member *member) Setup(session sarama.ConsumerGroupSession) error {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	member.claimed = len(session.Claims()[topic])
	return nil
}

func (member *member) Cleanup(sarama.ConsumerGroupSession) error {
	member.mutex.Lock()
	defer member.mutex.Unlock()
	member.claimed = 0
	return nil
}

func (member *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case record, open := <-claim.Messages():
			if !open {
				return nil
			}
			member.mutex.Lock()
			member.found[fmt.Sprint(record.Partition, ":", record.Offset)]++
			member.mutex.Unlock()
			session.MarkMessage(record, "a text")
		case <-session.Context().Done():
			return nil
		}
	}
}

func join(name string, strategy sarama.BalanceStrategy, mutex *sync.Mutex, found map[string]int) *member {
	config := settings()
	config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	group, err := sarama.NewConsumerGroup(address, name, config)
	check(err, "a group")
	running, cancel := context.WithCancel(ctx)
	member := &member{group: group, cancel: cancel, done: make(chan struct{}), mutex: mutex, found: found}
	go func() {
		defer close(member.done)
		for running.Err() == nil {
			if err := group.Consume(running, []string{topic}, member); err != nil && running.Err() == nil {
				check(err, "consume in a group")
			}
		}
	}()
	return member
}

func (member *member) leave() {
	member.cancel()
	<-member.done
	check(member.group.Close(), "leave")
}

func group(admin sarama.ClusterAdmin, name string, strategy sarama.BalanceStrategy, sent int) {
	var mutex sync.Mutex
	found := map[string]int{}
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
		must(false, name+": "+what, len(found))
	}
	first := join(name, strategy, &mutex, found)
	until("all to the first", func() bool { return first.claimed == partitions && len(found) == sent })
	second := join(name, strategy, &mutex, found)
	until("half each", func() bool { return first.claimed == 2 && second.claimed == 2 })
	described, err := admin.DescribeConsumerGroups([]string{name})
	check(err, "describe the group")
	must(described[0].State == "Stable" && len(described[0].Members) == 2, "the group", described[0])
	for _, each := range described[0].Members {
		assignment, err := each.GetMemberAssignment()
		check(err, "a member's assignment")
		must(len(assignment.Topics[topic]) == 2, "a member's assignment", assignment)
		metadata, err := each.GetMemberMetadata()
		check(err, "a member's subscription")
		must(metadata != nil && len(metadata.Topics) == 1, "a member's subscription", metadata)
	}
	second.leave()
	until("all again", func() bool { return first.claimed == partitions })
	first.leave()
	for record, times := range found {
		must(times == 1, "read once", record, times)
	}
	committed, err := admin.ListConsumerGroupOffsets(name, map[string][]int32{topic: {0, 1, 2, 3}})
	check(err, "committed")
	for partition := int32(0); partition < partitions; partition++ {
		block := committed.GetBlock(topic, partition)
		must(block.Offset == int64(sent/partitions) && block.Metadata == "a text", "committed", block)
	}
}

func ask(admin sarama.ClusterAdmin) {
	topics, err := admin.ListTopics()
	check(err, "topics")
	must(topics[topic].NumPartitions == partitions, "topics", topics)
	groups, err := admin.ListConsumerGroups()
	check(err, "groups")
	must(groups["sarama-range"] == "consumer", "groups", groups)
	configs, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	check(err, "configs")
	must(len(configs) > 30, "configs", configs)
	value := "5000000"
	limit := "20000" // as at first: whoever alters all of a topic's settings resets those that are not named
	alter := map[string]*string{"retention.ms": &value, "max.message.bytes": &limit}
	check(admin.AlterConfig(sarama.TopicResource, topic, alter, false), "alter")
	check(admin.CreatePartitions(topic, partitions+1, nil, false), "partitions")
	check(admin.DeleteRecords(topic, map[int32]int64{0: 2}), "records")
	check(admin.DeleteConsumerGroup("sarama-range"), "delete a group")
	_, controller, err := admin.DescribeCluster()
	check(err, "the cluster")
	must(controller == 0, "the controller", controller)
	logs, err := admin.DescribeLogDirs([]int32{0})
	check(err, "log directories")
	must(len(logs[0]) == 1, "log directories", logs)
	fmt.Println("ask")
}

func fail(admin sarama.ClusterAdmin) {
	err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	must(errors.Is(err, sarama.ErrTopicAlreadyExists), "a topic that exists", err)
	producer, err := sarama.NewSyncProducer(address, settings())
	check(err, "a producer")
	_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, 50000))})
	must(errors.Is(err, sarama.ErrMessageSizeTooLarge), "a large record", err)
	consumer, err := sarama.NewConsumer(address, settings())
	check(err, "a consumer")
	_, err = consumer.ConsumePartition(topic, 0, 999)
	must(errors.Is(err, sarama.ErrOffsetOutOfRange), "an offset that is none", err)
	fmt.Println("fail")
}

// A transaction is refused by name.
func transact() {
	config := settings()
	config.Producer.Idempotent, config.Producer.Transaction.ID = true, "t"
	config.Producer.RequiredAcks, config.Net.MaxOpenRequests = sarama.WaitForAll, 1
	_, err := sarama.NewSyncProducer(address, config)
	must(errors.Is(err, sarama.ErrTransactionalIDAuthorizationFailed), "a transaction", err)
	fmt.Println("transact")
}

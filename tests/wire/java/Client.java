import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A Java client of any release against `pykafka serve`: produces with each codec, reads alone and in a group, asks, errs.
 * A line a step; whatever is not as it should be ends the program. Arguments: the bootstrap address, the protocols of
 * groups to try.
 */
public class Client {
    private static final int PARTITIONS = 4;
    private static final Duration SHORT = Duration.ofMillis(50);
    private static final long END = System.nanoTime() + 100_000_000_000L;
    private static String address;
    private static int sent;

    public static void main(String[] arguments) throws Exception {
        address = arguments[0];
        try (AdminClient admin = AdminClient.create(settings())) {
            NewTopic topic = new NewTopic("java", PARTITIONS, (short) 1);
            admin.createTopics(List.of(topic.configs(Map.of("max.message.bytes", "20000")))).all().get();
            System.out.println("create");
            produce();
            readAlone();
            for (String protocol : Arrays.asList(arguments).subList(1, arguments.length)) group(admin, protocol);
            ask(admin);
            fail(admin);
            transact();
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static void must(boolean holds, String what, Object... found) {
        if (!holds) throw new AssertionError(what + " " + Arrays.toString(found));
    }

    private static Map<String, Object> settings() {
        return new HashMap<>(Map.of("bootstrap.servers", address, "request.timeout.ms", 10000));
    }

    private static TopicPartition at(int partition) {
        return new TopicPartition("java", partition);
    }

    private static KafkaConsumer<String, String> consumer(Map<String, Object> more) {
        Map<String, Object> settings = settings();
        settings.putAll(Map.of("auto.offset.reset", "earliest", "enable.auto.commit", false));
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private static void produce() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd"))
            for (boolean idempotent : new boolean[] {true, false}) {
                Map<String, Object> settings = settings();
                settings.putAll(Map.of("compression.type", codec, "enable.idempotence", idempotent,
                    "acks", idempotent ? "all" : "1", "linger.ms", 5));
                try (KafkaProducer<String, String> producer =
                         new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
                    for (int partition = 0; partition < PARTITIONS; partition++) {
                        String value = String.format("%s %s %0100d", codec, idempotent, partition);
                        producer.send(new ProducerRecord<>("java", partition, null, "k", value,
                            List.of(new RecordHeader("h", "x".getBytes())))).get();
                        sent++;
                    }
                }
            }
        System.out.println("produce");
    }

    private static void readAlone() {
        List<TopicPartition> all = new ArrayList<>();
        for (int partition = 0; partition < PARTITIONS; partition++) all.add(at(partition));
        try (KafkaConsumer<String, String> consumer = consumer(Map.of())) {
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Set<String> found = new HashSet<>();
            while (found.size() < sent) {
                must(System.nanoTime() < END, "read alone", found.size());
                for (ConsumerRecord<String, String> record : consumer.poll(SHORT)) {
                    must(record.key().equals("k") && record.headers().lastHeader("h") != null, "a record", record);
                    found.add(record.value());
                }
            }
            System.out.println("read alone");
            consumer.assign(all.subList(1, 2));
            consumer.seek(at(1), 5);
            ConsumerRecords<String, String> some;
            do some = consumer.poll(SHORT); while (some.isEmpty() && System.nanoTime() < END);
            must(some.iterator().next().offset() == 5, "seek", some.iterator().next());
            System.out.println("seek");
            must(consumer.endOffsets(all).get(at(2)) == sent / PARTITIONS, "the end");
            must(consumer.beginningOffsets(all).get(at(2)) == 0, "the beginning");
            OffsetAndTimestamp early = consumer.offsetsForTimes(Map.of(at(2), 1L)).get(at(2));
            must(early.offset() == 0 && early.timestamp() > 1, "the offset for a time", early);
            must(consumer.offsetsForTimes(Map.of(at(2), Long.MAX_VALUE)).get(at(2)) == null, "the offset for a late time");
            must(consumer.partitionsFor("java").size() == PARTITIONS && consumer.listTopics().containsKey("java"), "topics");
            System.out.println("offsets");
        }
    }

    /** A member of a group, and what it was given and has read. */
    private static final class Member implements ConsumerRebalanceListener {
        final KafkaConsumer<String, String> consumer;
        final Set<TopicPartition> owned = new HashSet<>();

        Member(Map<String, Object> settings) {
            consumer = consumer(settings);
            consumer.subscribe(List.of("java"), this);
        }

        @Override public void onPartitionsAssigned(Collection<TopicPartition> some) { owned.addAll(some); }
        @Override public void onPartitionsRevoked(Collection<TopicPartition> some) { owned.removeAll(some); }
        @Override public void onPartitionsLost(Collection<TopicPartition> some) { owned.removeAll(some); }

        void poll(Map<String, Integer> found) {
            ConsumerRecords<String, String> some = consumer.poll(SHORT);
            for (ConsumerRecord<String, String> record : some)
                found.merge(record.partition() + ":" + record.offset(), 1, Integer::sum);
            if (!some.isEmpty()) consumer.commitSync();
        }
    }

    private static void until(String what, List<Member> members, Map<String, Integer> found,
                              java.util.function.BooleanSupplier holds) {
        while (!holds.getAsBoolean()) {
            must(System.nanoTime() < END, what, found.size(), members.get(0).owned);
            for (Member member : members) member.poll(found);
        }
    }

    private static void group(AdminClient admin, String protocol) throws Exception {
        String name = "java-" + protocol;
        Map<String, Object> settings = new HashMap<>(Map.of("group.id", name));
        if (protocol.equals("consumer")) settings.put("group.protocol", protocol);
        else settings.putAll(Map.of("heartbeat.interval.ms", 300, "partition.assignment.strategy",
            protocol.equals("cooperative") ? CooperativeStickyAssignor.class.getName() : RangeAssignor.class.getName()));
        Map<String, Integer> found = new HashMap<>();
        Member first = new Member(settings);
        until("all to the first", List.of(first), found, () -> first.owned.size() == PARTITIONS && found.size() == sent);
        Member second = new Member(settings);
        List<Member> both = List.of(first, second);
        until("half each", both, found, () -> first.owned.size() == 2 && second.owned.size() == 2);
        until("known to all", both, found, () -> {
            try {
                ConsumerGroupDescription described = admin.describeConsumerGroups(List.of(name)).all().get().get(name);
                return described.members().size() == 2
                    && described.members().stream().allMatch(each -> each.assignment().topicPartitions().size() == 2);
            } catch (Exception thrown) {
                throw new AssertionError(thrown);
            }
        });
        second.consumer.close();
        until("all again", List.of(first), found, () -> first.owned.size() == PARTITIONS);
        found.forEach((record, times) -> must(times == 1, "read once", record, times));
        first.consumer.commitSync(Map.of(at(0), new OffsetAndMetadata(7, "a text")));
        OffsetAndMetadata committed = first.consumer.committed(Set.of(at(0))).get(at(0));
        must(committed.offset() == 7 && committed.metadata().equals("a text"), "committed", committed);
        first.consumer.close();
        Map<TopicPartition, OffsetAndMetadata> all =
            admin.listConsumerGroupOffsets(name).partitionsToOffsetAndMetadata().get();
        must(all.get(at(1)).offset() == sent / PARTITIONS, "committed", all);
        System.out.println("group " + protocol);
    }

    private static void ask(AdminClient admin) throws Exception {
        must(admin.listTopics().names().get().contains("java"), "topics");
        must(admin.describeCluster().nodes().get().size() == 1, "nodes");
        must(admin.listConsumerGroups().all().get().size() > 0, "groups");
        ConfigResource java = new ConfigResource(ConfigResource.Type.TOPIC, "java");
        must(admin.describeConfigs(List.of(java)).all().get().get(java).get("max.message.bytes").value().equals("20000"), "configs");
        AlterConfigOp set = new AlterConfigOp(new ConfigEntry("retention.ms", "5000000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(java, List.of(set))).all().get();
        admin.createPartitions(Map.of("java", NewPartitions.increaseTo(PARTITIONS + 1))).all().get();
        must(admin.listOffsets(Map.of(at(0), OffsetSpec.latest())).partitionResult(at(0)).get().offset() > 0, "list offsets");
        must(admin.deleteRecords(Map.of(at(0), RecordsToDelete.beforeOffset(2))).lowWatermarks().get(at(0)).get()
            .lowWatermark() == 2, "records");
        admin.alterConsumerGroupOffsets("other", Map.of(at(0), new OffsetAndMetadata(3))).all().get();
        admin.deleteConsumerGroups(List.of("other")).all().get();
        System.out.println("ask");
    }

    private static void fail(AdminClient admin) throws Exception {
        try {
            admin.createTopics(List.of(new NewTopic("java", 1, (short) 1))).all().get();
            must(false, "a topic that exists");
        } catch (ExecutionException thrown) {
            must(thrown.getCause().getClass().getSimpleName().equals("TopicExistsException"), "a topic that exists", thrown);
        }
        Map<String, Object> settings = settings();
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>("java", String.join("", Collections.nCopies(50000, "x")))).get();
            must(false, "a large record");
        } catch (ExecutionException thrown) {
            must(thrown.getCause().getClass().getSimpleName().equals("RecordTooLargeException"), "a large record", thrown);
        }
        settings.put("max.block.ms", 1500);
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            try {
                producer.send(new ProducerRecord<>("java", 99, "k", "v")).get();
                must(false, "no partition");
            } catch (Exception thrown) {
                must(thrown.toString().contains("TimeoutException"), "no partition", thrown);
            }
        }
        try (KafkaConsumer<String, String> consumer = consumer(Map.of("auto.offset.reset", "none"))) {
            consumer.assign(List.of(at(1)));
            consumer.seek(at(1), 999);
            while (System.nanoTime() < END) consumer.poll(SHORT);
            must(false, "an offset that is none");
        } catch (OffsetOutOfRangeException expected) {
            System.out.println("fail");
        }
    }

    /** Asked in vain again and again, it would end by another error, after max.block.ms. */
    private static void transact() {
        Map<String, Object> settings = settings();
        settings.put("transactional.id", "t");
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.initTransactions();
            must(false, "a transaction");
        } catch (TransactionalIdAuthorizationException expected) {
            System.out.println("transact");
        }
    }
}

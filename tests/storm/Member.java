import java.io.FileWriter;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A member of the mixed group: says in a file what it was given and has read, commits what it has said, until the file
 * `stop` is there. Arguments: the bootstrap address, `consumer` for KIP-848 or what classic members assign by, the file,
 * the file whose being there ends it.
 */
public class Member implements ConsumerRebalanceListener {
    private final KafkaConsumer<String, String> consumer;
    private final PrintWriter history;
    private final Map<TopicPartition, OffsetAndMetadata> owed = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", arguments[0], "group.id", "mixed",
            "group.protocol", arguments[1].equals("consumer") ? "consumer" : "classic", "auto.offset.reset", "earliest", "enable.auto.commit", false,
            "max.poll.records", 50));
        if (!arguments[1].equals("consumer")) {
            Class<?> strategy = arguments[1].equals("range") ? RangeAssignor.class : CooperativeStickyAssignor.class;
            settings.putAll(Map.of("session.timeout.ms", 6000, "heartbeat.interval.ms", 500,
                "partition.assignment.strategy", strategy.getName()));
        }
        new Member(settings, arguments[2]).run(Path.of(arguments[3]));
        Runtime.getRuntime().halt(0);
    }

    private Member(Map<String, Object> settings, String path) throws IOException {
        history = new PrintWriter(new FileWriter(path, true));
        consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private void run(Path stop) {
        consumer.subscribe(List.of("mixed"), this);
        while (!Files.exists(stop)) {
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(200))) {
                say("read", record.partition(), record.offset() + " " + record.value());
                owed.put(new TopicPartition(record.topic(), record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            history.flush();
            commit();
        }
        consumer.close();
    }

    private void say(String what, int partition, String more) {
        history.println(System.nanoTime() + " " + what + " " + partition + " " + more);
    }

    private void commit() {
        if (owed.isEmpty()) return;
        try {
            consumer.commitSync(owed);
            owed.clear();
        } catch (RetriableCommitFailedException | RebalanceInProgressException again) {
            // what is owed is committed when it is taken away, or with the next records
        } catch (KafkaException gone) {
            history.println(System.nanoTime() + " failed -1 " + gone.getClass().getSimpleName());
            history.flush();
            owed.clear();
        }
    }

    @Override public void onPartitionsAssigned(Collection<TopicPartition> some) { told("assigned", some); }

    @Override public void onPartitionsRevoked(Collection<TopicPartition> some) {
        commit();
        told("revoked", some);
    }

    @Override public void onPartitionsLost(Collection<TopicPartition> some) {
        owed.keySet().removeAll(some);
        told("lost", some);
    }

    private void told(String what, Collection<TopicPartition> some) {
        for (TopicPartition each : some) say(what, each.partition(), "");
        history.flush();
    }
}

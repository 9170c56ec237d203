// Sends three orders, and reads them as a member of a group. The address is a property, as a test with a container sets it.
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Orders {
    public static void main(String[] arguments) {
        var settings = new Properties();
        settings.put("bootstrap.servers",
            System.getProperty("kafka.bootstrap.servers", System.getenv("KAFKA_BOOTSTRAP_SERVERS")));
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (var order : List.of("tea", "milk", "bread")) {
                producer.send(new ProducerRecord<>("orders", order));
            }
        }
        settings.put("group.id", "billing");
        settings.put("auto.offset.reset", "earliest");
        var orders = new ArrayList<String>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("orders"));
            var end = System.nanoTime() + 60_000_000_000L;
            while (orders.size() < 3 && System.nanoTime() < end) {
                consumer.poll(Duration.ofSeconds(1)).forEach(record -> orders.add(record.value()));
            }
        }
        System.out.println(String.join(" ", orders));
    }
}

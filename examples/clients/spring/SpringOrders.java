// Sends three orders, and receives them by a listener. Spring finds the address by itself: spring.kafka.bootstrap-servers, which
// the variable SPRING_KAFKA_BOOTSTRAP_SERVERS sets.
package orders;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.springframework.boot.CommandLineRunner;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.kafka.annotation.KafkaListener;
import org.springframework.kafka.core.KafkaTemplate;

@SpringBootApplication
public class SpringOrders implements CommandLineRunner {
    private final List<String> orders = new CopyOnWriteArrayList<>();
    private final CountDownLatch enough = new CountDownLatch(3);
    private final KafkaTemplate<String, String> kafka;

    SpringOrders(KafkaTemplate<String, String> kafka) {
        this.kafka = kafka;
    }

    public static void main(String[] arguments) {
        SpringApplication.run(SpringOrders.class, arguments).close();
    }

    @KafkaListener(topics = "orders", groupId = "billing", properties = "auto.offset.reset=earliest")
    void receive(String order) {
        orders.add(order);
        enough.countDown();
    }

    @Override
    public void run(String... arguments) throws Exception {
        for (var order : List.of("tea", "milk", "bread")) {
            kafka.send("orders", order).get();
        }
        enough.await(60, TimeUnit.SECONDS);
        System.out.println(String.join(" ", orders));
    }
}

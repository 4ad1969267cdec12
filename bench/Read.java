import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Properties;

/** Reads each query that it is given on a line to its end, and prints the seconds and the rows that it took. */
final class Read {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
        try (Connection con = DriverManager.getConnection(args[0], properties); Statement statement = con.createStatement()) {
            BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
            for (String sql = in.readLine(); sql != null; sql = in.readLine()) {
                long start = System.nanoTime(), rows = 0, sum = 0;
                try (ResultSet rs = statement.executeQuery(sql)) {
                    while (rs.next()) {
                        sum += rs.getLong(1) + (long) rs.getDouble(2) + rs.getString(3).length();
                        rows++;
                    }
                }
                if (sum == 0) {
                    throw new IllegalStateException("nothing was read");
                }
                System.out.println((System.nanoTime() - start) / 1e9 + " " + rows);
            }
        }
    }
}
